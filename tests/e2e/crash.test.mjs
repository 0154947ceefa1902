// crash.test.mjs - kill -9 at random moments, at least a hundred times. Whatever was acknowledged must reach the cloud,
// in order, and repeats only under the same sluice-id; and it must reach a client with a session that was mostly away.
//
// Every publisher counts its messages and never publishes one again, so each number may have one identity only. The
// cloud is up in some rounds, away in others, comes or goes while messages are under way, or its link flaps.
//
//   SLUICE_ROUNDS=1000 SLUICE_SEED=42 node --test crash.test.mjs      scripts/test-crashes does
import assert from 'node:assert/strict';
import { checkOrder, dedup, parseId } from './lib/cloud.mjs';
import { checkLedger } from './lib/flow.mjs';
import { random } from './lib/random.mjs';
import { scenario } from './lib/scenario.mjs';
import { sleep, until, within } from './lib/system.mjs';

const ROUNDS = Number(process.env.SLUICE_ROUNDS ?? 110);
const SEED = Number(process.env.SLUICE_SEED ?? Math.floor(Math.random() * 1e9));
const IN_FLIGHT = 20;
const PAUSE_MS = 25; // at most, after each message: the load lasts until the kill, and what has to drain stays bounded

const rules = [
    { name: 'alert', sql: "SELECT * FROM 'crash/alert/+'", to: [{ cloud: 'up/${topic(3)}', lane: 'alert' }] },
    { name: 'telemetry', sql: "SELECT * FROM 'crash/telemetry/+'", to: [{ cloud: 'up/${topic(3)}' }] },
];

class Publisher {
    constructor(name, lane, version) {
        Object.assign(this, { name, lane, version, next: 0, acknowledged: new Set() });
    }

    /** Publishes until the connection ends, which it always does. */
    async work(s, gateway) {
        const client = await s.client(gateway, { clientId: this.name, protocolVersion: this.version });
        client.once('close', () => client.end(true)); // what is under way fails now, and is not sent again
        const one = async () => {
            while (client.connected) {
                const n = this.next++;
                await client.publishAsync(`crash/${this.lane}/${this.name}`, JSON.stringify({ n, by: this.name }), { qos: 1 });
                this.acknowledged.add(n);
                await sleep(Math.random() * PAUSE_MS);
            }
        };
        await Promise.all(Array.from({ length: IN_FLIGHT }, one));
    }
}

/** A session that outlives its connections. It takes what waited when it is there, and misses nothing. */
class Listener {
    constructor() {
        this.came = new Set();
    }

    async connect(s, gateway) {
        const client = await s.client(gateway, {
            clientId: 'listener', clean: false, protocolVersion: 5, properties: { sessionExpiryInterval: 36000 },
        });
        const take = ([, text]) => {
            const { n, by } = JSON.parse(text);
            this.came.add(`${by} ${n}`);
        };
        client.got.forEach(take);
        client.got.push = take; // from now on nothing is kept twice
        return client;
    }
}

/** The link to the cloud is cut again and again, slow in between, until `state.over`. */
async function flap(gate, state, chance) {
    while (!state.over) {
        gate.delay(chance() * 30);
        await sleep(20 + chance() * 150);
        gate.cut({ reset: chance() < 0.5 });
    }
    gate.heal();
}

scenario(`${ROUNDS} times kill -9 under load, seed ${SEED}`, { timeout: 600000 + ROUNDS * 4000 }, async (s, t) => {
    t.diagnostic(`SLUICE_SEED=${SEED}`);
    const chance = random(SEED);
    const cloud = await s.cloud({ observe: 'up/#', lean: true });
    const gateway = await s.gateway({
        rules,
        broker: { connect_rate: 10000, max_queued_messages: 1000000, max_queued_bytes: '256MiB' },
        store: { spill_after: '20ms', commit_interval: '5ms' },
        cloud: cloud.config({ limits: { publishes_per_second: 100000, bytes_per_second: '1GiB', in_flight: 200 } }),
    });
    const publishers = [
        new Publisher('p1', 'telemetry', 4), new Publisher('p2', 'telemetry', 5),
        new Publisher('p3', 'alert', 4), new Publisher('p4', 'telemetry', 5),
    ];
    const listener = new Listener();
    const rounds = { online: 0, offline: 0, flapping: 0 };
    let cloudUp = false;
    const toggle = async () => {
        await (cloudUp ? cloud.kill() : cloud.start());
        cloudUp = !cloudUp;
    };
    await gateway.start();
    const first = await listener.connect(s, gateway);
    await first.subscribeAsync('crash/+/+', { qos: 1 });
    await first.endAsync();
    for (let round = 0; round < ROUNDS; round++) {
        if (chance() < 0.2) await toggle();
        if (!gateway.running) await gateway.start();
        const flapping = { over: false };
        const flaps = cloudUp && chance() < 0.3 ? flap(cloud.gate, flapping, chance) : undefined;
        rounds[flaps ? 'flapping' : cloudUp ? 'online' : 'offline']++;
        if (chance() < 0.3) await listener.connect(s, gateway); // until the kill
        const work = Promise.allSettled(publishers.map((p) => p.work(s, gateway))); // they end by being cut off
        const moment = sleep(chance() * 250);
        if (!flaps && chance() < 0.15) await toggle(); // in the middle of it
        await moment;
        await gateway.kill();
        flapping.over = true;
        await flaps;
        await within(20000, 'the publishers notice the end', work);
    }
    if (!cloudUp) await toggle();
    await gateway.start();
    await gateway.drained(60000);
    // What mosquitto acknowledged it had passed on; the observer has read it when one more message has come through.
    const last = await s.client(gateway, { protocolVersion: 5 });
    await last.publishAsync('crash/telemetry/end', '{}', { qos: 1 });
    await cloud.got('the last message', (m) => m.topic === 'up/end');
    cloud.messages = cloud.messages.filter((m) => m.topic !== 'up/end');

    const all = publishers.reduce((sum, p) => sum + p.acknowledged.size, 0);
    await listener.connect(s, gateway);
    const missed = () => publishers.flatMap((p) => [...p.acknowledged].filter((n) => !listener.came.has(`${p.name} ${n}`)));
    await until('the session has had everything', () => listener.came.size >= all && missed().length === 0, 60000).catch(() => {});
    assert.deepEqual(missed().slice(0, 20), [], 'acknowledged, but not in the session');

    const unique = dedup(cloud.messages);
    checkOrder(unique);
    for (const p of publishers) {
        const arrived = unique.filter((m) => m.topic === `up/${p.name}`);
        const numbers = arrived.map((m) => JSON.parse(m.text).n);
        arrived.forEach((m) => assert.equal(parseId(m.id).lane, p.lane));
        assert.equal(new Set(numbers).size, numbers.length, `${p.name}: one message under two identities`);
        numbers.forEach((n, i) => assert(i === 0 || n > numbers[i - 1], `${p.name}: ${n} came after ${numbers[i - 1]}`));
        const there = new Set(numbers);
        const lost = [...p.acknowledged].filter((n) => !there.has(n));
        assert.deepEqual(lost, [], `${p.name}: acknowledged, but not in the cloud`);
        assert(p.acknowledged.size > ROUNDS, `${p.name}: only ${p.acknowledged.size} messages were acknowledged`);
    }
    t.diagnostic(`${ROUNDS} kills: cloud online ${rounds.online}, offline ${rounds.offline}, flapping ${rounds.flapping}`);
    t.diagnostic(`${all} acknowledged, ${unique.length} in the cloud, ${cloud.messages.length - unique.length} repeats`);
    assert(cloud.messages.length > unique.length, 'no repeat at all: the crashes came at no interesting moment');
    const { store } = await gateway.status();
    checkLedger(store);
    assert.deepEqual(store.lanes.map((lane) => lane.lost), [0, 0, 0]);
});
