// sessions.test.mjs - what outlives the process: subscriptions, what waits for a client and what is in flight with it,
// QoS 2 in both directions, retained messages, delayed wills. Stopped in order, killed, and with a full disk.
//
//   SLUICE_ROUNDS=200 SLUICE_SEED=42 node --test sessions.test.mjs
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import mqtt from 'mqtt';
import { fill, mountSmall, needsRoot, remount } from './lib/disk.mjs';
import { random } from './lib/random.mjs';
import { scenario } from './lib/scenario.mjs';
import { sleep, until, within } from './lib/system.mjs';

const ROUNDS = Number(process.env.SLUICE_ROUNDS ?? 20);
const SEED = Number(process.env.SLUICE_SEED ?? Math.floor(Math.random() * 1e9));

/** An MQTT.js client whose session outlives its connections. */
const kept = (s, gateway, clientId, options = {}) => s.client(gateway, {
    clientId, protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 }, ...options,
});
const texts = (client) => client.got.map(([, text]) => text);

for (const how of ['stop', 'kill']) {
    const name = how === 'stop' ? 'SIGTERM' : 'kill -9';
    for (const version of [4, 5]) {
        scenario(`${name}: subscriptions, the queue and retained messages are there again, MQTT ${version}`, async (s) => {
            const gateway = await s.gateway();
            await gateway.start();
            let sub = await kept(s, gateway, 'away', { protocolVersion: version });
            await sub.subscribeAsync('a/+', { qos: 1 });
            await sub.subscribeAsync('b/#', { qos: 2 });
            await sub.endAsync();
            const pub = await s.client(gateway, { protocolVersion: version });
            for (let i = 0; i < 20; i++) await pub.publishAsync(`a/${i}`, `one ${i}`, { qos: 1 });
            for (let i = 0; i < 20; i++) await pub.publishAsync(`b/${i}`, `two ${i}`, { qos: 2 });
            await pub.publishAsync('kept/a', 'old', { qos: 1, retain: true });
            await pub.publishAsync('kept/a', 'new', { qos: 1, retain: true });
            await pub.publishAsync('kept/b', 'gone', { qos: 1, retain: true });
            await pub.publishAsync('kept/b', '', { qos: 1, retain: true });
            await gateway[how]();
            await gateway.start();
            const other = await s.client(gateway, { protocolVersion: version });
            await other.publishAsync('a/20', 'one 20', { qos: 1 }); // the subscription is there, too
            await other.subscribeAsync('kept/#', { qos: 1 });
            sub = await kept(s, gateway, 'away', { protocolVersion: version });
            await until('all of it', () => sub.got.length >= 41);
            const expected = [...Array(20).keys()].flatMap((i) => [`one ${i}`, `two ${i}`]).concat('one 20');
            assert.deepEqual(texts(sub).sort(), expected.sort());
            for (const word of ['one', 'two']) {
                const numbers = texts(sub).filter((t) => t.startsWith(word)).map((t) => Number(t.split(' ')[1]));
                assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b), `${word}: in order`);
            }
            await until('what is retained', () => other.got.length >= 1);
            assert.deepEqual(other.got, [['kept/a', 'new', 1, true]]);
            await until('nothing is left on disk', async () => (await gateway.status()).broker.persistence.messages === 0, 20000);
            const { persistence } = (await gateway.status()).broker;
            assert.deepEqual([persistence.sessions, persistence.bad_rows, persistence.disk_ok], [1, 0, true]);
        });
    }

    scenario(`${name}: a will waits on`, async (s) => {
        const gateway = await s.gateway();
        await gateway.start();
        const will = (text, willDelayInterval) =>
            ({ will: { topic: 'will', payload: text, qos: 1, properties: { willDelayInterval } } });
        const [soon, late, back] = [
            await kept(s, gateway, 'soon', will('soon', 3)),
            await kept(s, gateway, 'late', will('late', 3600)),
            await kept(s, gateway, 'back', will('back', 3)),
        ];
        for (const client of [soon, late, back]) client.stream.destroy(); // without DISCONNECT
        const watch = await kept(s, gateway, 'watch');
        await watch.subscribeAsync('will', { qos: 1 });
        await gateway[how]();
        await gateway.start();
        await kept(s, gateway, 'back'); // in time
        const again = await kept(s, gateway, 'watch');
        await until('the will that is due', () => again.got.length >= 1);
        await sleep(2000);
        assert.deepEqual(texts(again), ['soon']);
    });
}

scenario('persistence false: nothing is kept, and nothing is written', async (s) => {
    const gateway = await s.gateway({ broker: { persistence: false } });
    await gateway.start();
    let sub = await kept(s, gateway, 'away');
    await sub.subscribeAsync('a', { qos: 1 });
    await sub.endAsync();
    const pub = await s.client(gateway);
    await pub.publishAsync('a', 'x', { qos: 1, retain: true });
    await gateway.stop();
    await gateway.start();
    sub = await kept(s, gateway, 'away');
    await sub.subscribeAsync('a', { qos: 1 });
    await sub.publishAsync('a', 'y', { qos: 1 });
    await until('the live one', () => sub.got.length >= 1);
    assert.deepEqual(texts(sub), ['y']);
    assert.deepEqual((await gateway.status()).broker.persistence, { enabled: false });
});

scenario('a damaged state.db: moved aside, said, and the gateway works', async (s) => {
    const gateway = await s.gateway();
    mkdirSync(gateway.data, { recursive: true });
    writeFileSync(path.join(gateway.data, 'state.db'), 'this is no database, whatever its name says\n'.repeat(200));
    await gateway.start();
    await until('it says so', () => /state\.db could not be used/.test(gateway.allLog));
    const sub = await kept(s, gateway, 'c');
    await sub.subscribeAsync('a', { qos: 1 });
    await sub.endAsync();
    await (await s.client(gateway)).publishAsync('a', 'x', { qos: 1 });
    await gateway.kill();
    await gateway.start();
    const again = await kept(s, gateway, 'c');
    await until('what was kept since', () => again.got.length >= 1);
});

// ---- kill -9 under load ----

/** Publishes numbers from connection to connection. MQTT.js keeps what is not acknowledged and sends it again, though it
 *  has told the application that it failed. */
class Publisher {
    constructor(s, gateway, name, qos, version) {
        Object.assign(this, { name, qos, version, next: 0, acknowledged: new Set(), failed: new Set() });
        this.client = persistent(s, gateway, name, version);
    }

    async work(until, pause) {
        const one = async () => {
            while (!until.over) {
                const n = this.next++;
                this.client.publishAsync(`load/${this.name}`, String(n), { qos: this.qos })
                    .then(() => this.acknowledged.add(n), () => this.failed.add(n));
                await sleep(pause());
            }
        };
        await Promise.all([one(), one(), one()]);
    }
}

/** Counts what comes, by publisher and number. */
class Subscriber {
    constructor(s, gateway, name, qos, version) {
        Object.assign(this, { name, qos, counts: new Map() });
        this.client = persistent(s, gateway, name, version);
        this.client.on('message', (topic, payload) => {
            const key = `${topic.slice(5)} ${payload}`;
            this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
        });
    }
}

/** It remembers what it has received of QoS 2 also when it is ended and connects again. */
function persistent(s, gateway, clientId, version) {
    const stores = { incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }) };
    const client = mqtt.connect(`mqtt://127.0.0.1:${gateway.port}`, {
        clientId, protocolVersion: version, clean: false, reconnectPeriod: 30, connectTimeout: 5000, keepalive: 30,
        ...stores,
        properties: version === 5 ? { sessionExpiryInterval: 3600 } : undefined,
    });
    client.setMaxListeners(0);
    client.back = () => client.reconnect(stores);
    client.on('error', () => {}); // it comes back by itself
    s.defer(() => client.endAsync(true));
    return client;
}

scenario(`${ROUNDS} times kill -9 under load, seed ${SEED}`, { timeout: 3600000 }, async (s, t) => {
    t.diagnostic(`SLUICE_SEED=${SEED}`);
    const chance = random(SEED);
    const gateway = await s.gateway({
        broker: { connect_rate: 10000, max_queued_messages: 1000000, max_queued_bytes: '256MiB' },
        store: { spill_after: '20ms' },
    });
    await gateway.start();
    const subscribers = [
        new Subscriber(s, gateway, 's1', 1, 5), new Subscriber(s, gateway, 's2', 2, 5), new Subscriber(s, gateway, 'old2', 2, 4),
        new Subscriber(s, gateway, 'away1', 1, 5), new Subscriber(s, gateway, 'away2', 2, 4),
    ];
    const away = subscribers.slice(3);
    const online = (client) => until('the client is connected', () => client.connected, 30000);
    for (const { client, qos } of subscribers) {
        await online(client);
        await client.subscribeAsync('load/+', { qos });
    }
    const publishers = [
        new Publisher(s, gateway, 'p1', 1, 5), new Publisher(s, gateway, 'p2', 2, 5), new Publisher(s, gateway, 'p3', 2, 4),
    ];
    for (let round = 0; round < ROUNDS; round++) {
        if (!gateway.running) await gateway.start();
        for (const { client } of away) {
            if (client.disconnecting || !client.connected) {
                if (chance() < 0.4) client.back();
            } else if (chance() < 0.5) {
                await Promise.race([client.endAsync(chance() < 0.5), sleep(200)]);
            }
        }
        const until = { over: false };
        const work = Promise.all(publishers.map((p) => p.work(until, () => chance() * 4)));
        await sleep(20 + chance() * 250);
        await gateway.kill();
        until.over = true;
        await within(20000, 'the publishers pause', work);
    }
    await gateway.start();
    for (const { client } of away) if (client.disconnecting || client.disconnected || !client.connected) client.back();
    for (const p of [...publishers, ...subscribers]) await online(p.client);
    await until('nothing is under way', () => publishers.every((p) => p.acknowledged.size + p.failed.size === p.next), 60000);
    const missing = () => subscribers.flatMap((sub) => publishers.flatMap((p) =>
        [...p.acknowledged].filter((n) => !sub.counts.has(`${p.name} ${n}`)).map((n) => `${sub.name}: ${p.name} ${n}`)));
    await until('everything has come', () => missing().length === 0, 60000).catch(() => {});
    assert.deepEqual(missing().slice(0, 20), [], 'acknowledged, but it never came');
    await sleep(500); // repeats would come now
    let repeats = 0;
    for (const sub of subscribers)
        for (const p of publishers) {
            const twice = [...sub.counts].filter(([key, n]) => key.startsWith(`${p.name} `) && n > 1).map(([key]) => key);
            repeats += twice.length;
            if (sub.qos === 2 && p.qos === 2) assert.deepEqual(twice.slice(0, 20), [], `${sub.name}: QoS 2 came twice`);
        }
    const total = publishers.reduce((sum, p) => sum + p.acknowledged.size, 0);
    t.diagnostic(`${total} acknowledged, each to ${subscribers.length} subscribers; ${repeats} repeats at QoS 1`);
    assert(total > ROUNDS * 20, 'hardly any load');
    const { persistence } = (await gateway.status()).broker;
    assert.equal(persistence.bad_rows, 0);
    await until('nothing is left on disk', async () => (await gateway.status()).broker.persistence.messages === 0, 30000);
});

// ---- a full disk ----

scenario('a full disk: nothing is acknowledged that cannot be stored, and all is well when there is room again',
    needsRoot, async (s, t) => {
        const gateway = await s.gateway({ broker: { max_queued_messages: 1000000, max_queued_bytes: '256MiB' } });
        const why = await mountSmall(s, gateway, '6m');
        if (why) return t.skip(why);
        await gateway.start();
        const sub = await kept(s, gateway, 'away');
        await sub.subscribeAsync('a', { qos: 1 });
        await sub.endAsync();
        const live = await s.client(gateway, { protocolVersion: 5 });
        await live.subscribeAsync('live', { qos: 1 });
        const pub = await s.client(gateway, { protocolVersion: 5 });
        const pad = 'x'.repeat(2000);
        const acknowledged = [];
        let refused;
        for (let i = 0; i < 20000 && !refused; i++)
            await pub.publishAsync('a', `${i} ${pad}`, { qos: 1 }).then(() => acknowledged.push(i), (error) => (refused = error));
        assert.equal(refused?.code, 0x97, 'a publish is refused when the disk is full');
        assert(acknowledged.length > 100, `only ${acknowledged.length} were acknowledged`);
        await pub.publishAsync('live', 'x', { qos: 1 }); // who needs no disk goes on
        await until('the live one', () => live.got.length === 1);
        const { persistence } = (await gateway.status()).broker;
        assert.equal(persistence.disk_ok, false);
        assert.match(persistence.disk_error, /no room on the file system/);
        await gateway.kill();
        await remount(gateway.data, 'size=64m');
        await gateway.start();
        const again = await kept(s, gateway, 'away');
        await until('all that was acknowledged', () => again.got.length >= acknowledged.length, 30000);
        const came = new Set(texts(again).map((text) => Number(text.split(' ')[0])));
        assert.deepEqual(acknowledged.filter((i) => !came.has(i)), []);
    });

scenario('a disk that is full for a while: everything is there when it has room again', needsRoot,
    async (s, t) => {
        const gateway = await s.gateway({ broker: { max_queued_messages: 1000000, max_queued_bytes: '256MiB' } });
        const why = await mountSmall(s, gateway, '24m');
        if (why) return t.skip(why);
        await gateway.start();
        const sub = await kept(s, gateway, 'away');
        await sub.subscribeAsync('a', { qos: 1 });
        await sub.endAsync();
        const pub = await s.client(gateway, { protocolVersion: 5 });
        await pub.publishAsync('a', 'before', { qos: 1 });
        const hog = path.join(gateway.data, 'hog');
        await fill(hog);
        const refusal = await pub.publishAsync('a', 'x'.repeat(200000), { qos: 1 }).then(() => undefined, (error) => error);
        assert.equal(refusal?.code, 0x97);
        rmSync(hog);
        await until('it is stored again', async () => (await gateway.status()).broker.persistence.disk_ok, 30000);
        await pub.publishAsync('a', 'after', { qos: 1 });
        await gateway.kill();
        await gateway.start();
        const again = await kept(s, gateway, 'away');
        await until('both', () => texts(again).includes('before') && texts(again).includes('after'));
    });
