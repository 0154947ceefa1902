// chaos.test.mjs - everything at once: clients that do anything at all, garbage on every port, configurations that change,
// kill -9, a full disk. Whoever behaves is served all the same: at QoS 1 at least once, at QoS 2 exactly once, of a shared
// subscription one member or the other; and when it is over the gateway is as it was before.
//
//   SLUICE_SECONDS=600 SLUICE_SEED=42 node --test chaos.test.mjs
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import mqtt from 'mqtt';
import { fill, mountSmall, needsRoot } from './lib/disk.mjs';
import { everyListener } from './lib/listeners.mjs';
import { random } from './lib/random.mjs';
import { Dice, garbage, RESTLESS, restless } from './lib/restless.mjs';
import { scenario } from './lib/scenario.mjs';
import { freePort, sleep, until } from './lib/system.mjs';

const SECONDS = Number(process.env.SLUICE_SECONDS ?? 20);
const SEED = Number(process.env.SLUICE_SEED ?? Math.floor(Math.random() * 1e9));
const CONNECTIONS = Number(process.env.SLUICE_CONNECTIONS ?? 1000); // opened and dropped at once

/** It remembers what it has received of QoS 2 from connection to connection. */
function persistent(s, [url, options], clientId, version) {
    const client = mqtt.connect(url, {
        ...options, clientId, protocolVersion: version, clean: false, reconnectPeriod: 50, connectTimeout: 5000, keepalive: 30,
        incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }),
        properties: version === 5 ? { sessionExpiryInterval: 3600 } : undefined,
    });
    client.setMaxListeners(0);
    client.on('error', () => {}); // it comes back by itself
    s.defer(() => client.endAsync(true));
    return client;
}

class Publisher {
    constructor(s, where, name, qos, version) {
        Object.assign(this, { name, qos, next: 0, acknowledged: new Set(), failed: new Set(), client: persistent(s, where, name, version) });
    }

    async work(over, pause) {
        while (!over()) {
            const n = this.next++;
            if (this.client.connected || n % 20 === 0) // MQTT.js keeps without bounds what waits for a connection
                this.client.publishAsync(`load/${this.name}`, String(n), { qos: this.qos })
                    .then(() => this.acknowledged.add(n), () => this.failed.add(n));
            else this.failed.add(n);
            await sleep(pause());
        }
    }
}

class Subscriber {
    constructor(s, where, name, qos, version, filter = 'load/+') {
        Object.assign(this, { name, qos, filter, counts: new Map(), client: persistent(s, where, name, version) });
        this.client.on('message', (topic, payload) => {
            const key = `${topic.slice(5)} ${payload}`;
            this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
        });
    }
}

/** What SIGHUP finds. The rights to load/# never change. */
function variation(dice, more) {
    const all = { publish: ['#'], subscribe: ['#', '$SYS/#'] };
    const acls = [
        undefined, [all], [{ deny: ['private/#', 'noise/a'] }, all], [{ deny: ['noise/%c/#'] }, all],
        [{ user: 'nobody', publish: ['#'] }, { publish: ['load/#'], subscribe: ['load/#', 'noise/b'] }], 'a mistake',
    ];
    const acl = dice.of(acls);
    return {
        access: { anonymous: true, ...(acl ? { acl } : {}) },
        log: { level: dice.of(['info', 'warn', 'debug']) },
        rules: dice.often(0.5) ? [{ name: 'r', sql: "SELECT * FROM 'noise/#'", to: [{ local: 'ruled/${topic}' }] }] : [],
        more: dice.often(0.5) ? more : [],
    };
}

function reload(gateway, dice, base, more) {
    if (gateway.leaving) return;
    const v = variation(dice, more);
    Object.assign(gateway.config, { access: v.access, log: v.log, rules: v.rules, listeners: [...base, ...v.more] });
    gateway.write();
    gateway.process.kill('SIGHUP');
}

async function flood(port, count) {
    for (let left = count; left > 0; left -= 100)
        await Promise.all(Array.from({ length: Math.min(left, 100) }, () => new Promise((resolve) => {
            const socket = net.connect(port, '127.0.0.1', () => socket.destroy());
            socket.on('error', () => {}).on('close', resolve);
        })));
}

/** A small file system under data_dir, if that may be had. */
async function smallDisk(s, gateway, t) {
    const why = needsRoot.skip || await mountSmall(s, gateway, '48m');
    if (why) return t.diagnostic(`no full disk: ${why}`), undefined;
    return path.join(gateway.data, 'hog');
}

scenario(`everything at once for ${SECONDS} s, seed ${SEED}`, { timeout: (SECONDS + 300) * 1000 }, async (s, t) => {
    t.diagnostic(`SLUICE_SEED=${SEED}`);
    const chance = random(SEED), dice = new Dice(chance);
    const gateway = await everyListener(s, {
        broker: {
            connect_rate: 100000, connect_timeout: '2s', session_expiry_max: '1h', max_inflight: 5, receive_maximum: 10,
            max_queued_messages: 100000, max_queued_bytes: '16MiB', max_queued_bytes_total: '64MiB', max_retained_bytes: '1MiB',
            max_packet_size: '64KiB', topic_alias_max: 4, sys_interval: '1s', max_unfinished_connections: 200,
        },
        store: { spill_after: '20ms' },
    });
    const base = gateway.config.listeners;
    const more = [{ name: 'more', protocol: 'mqtt', bind: '127.0.0.1', port: await freePort() }];
    const hog = await smallDisk(s, gateway, t);
    await gateway.start();

    const w = gateway.where;
    const subscribers = [
        new Subscriber(s, w.tcp, 's1', 1, 5), new Subscriber(s, w.tls, 's2', 2, 5), new Subscriber(s, w.ws, 'old2', 2, 4),
    ];
    const members = [
        new Subscriber(s, w.tcp, 'm1', 2, 5, '$share/g/load/+'), new Subscriber(s, w.unix, 'm2', 2, 4, '$share/g/load/+'),
    ];
    for (const { client, qos, filter } of [...subscribers, ...members]) {
        await until('the client is connected', () => client.connected, 30000);
        await client.subscribeAsync(filter, { qos });
    }
    const publishers = [new Publisher(s, w.tcp, 'p1', 1, 5), new Publisher(s, w.wss, 'p2', 2, 5), new Publisher(s, w.tls, 'p3', 2, 4)];

    // ---- the storm ----
    const end = performance.now() + SECONDS * 1000;
    const over = () => performance.now() >= end;
    const held = [];
    s.defer(() => held.forEach((socket) => socket.destroy()));
    const every = async (what, pause) => {
        while (!over()) {
            await what();
            await sleep(pause());
        }
    };
    const plain = { port: gateway.ports.tcp, host: '127.0.0.1' };
    const ports = [...Object.values(gateway.ports).map((port) => ({ port, host: '127.0.0.1' })), { path: gateway.socket }];
    await Promise.all([
        ...publishers.map((p) => p.work(over, () => 2 + chance() * 10)),
        ...Array.from({ length: 6 }, () => every(() => restless(plain, chance), () => chance() * 50)),
        every(() => garbage(dice.of(ports), chance, held), () => 10 + chance() * 40),
        every(() => reload(gateway, dice, base, more), () => 100 + chance() * 900),
        every(() => dice.of([...subscribers, ...members]).client.stream?.destroy(), () => 300 + chance() * 700),
        every(async () => {
            await sleep(2000 + chance() * 3000);
            if (over()) return;
            gateway.leaving = true;
            await (dice.often(0.7) ? gateway.kill() : gateway.stop());
            Object.assign(gateway.config, { access: { anonymous: true }, listeners: base, log: { level: 'info' } });
            gateway.write();
            await gateway.start();
            gateway.leaving = false;
        }, () => 0),
        flood(gateway.ports.tcp, CONNECTIONS),
        hog && every(async () => {
            await sleep(chance() * 6000);
            if (over()) return;
            await fill(hog);
            await sleep(chance() * 1500);
            rmSync(hog);
        }, () => 0),
    ]);

    // ---- and after it ----
    for (const socket of held) socket.destroy();
    Object.assign(gateway.config, { access: { anonymous: true }, listeners: base, rules: [] });
    gateway.write();
    gateway.process.kill('SIGHUP');
    for (const p of [...publishers, ...subscribers, ...members]) await until('the client is connected', () => p.client.connected, 30000);
    await until('nothing is under way', () => publishers.every((p) => p.acknowledged.size + p.failed.size === p.next), 60000);
    const anyMember = { name: 'the share', counts: { has: (key) => members.some((m) => m.counts.has(key)) } };
    const missing = () => [...subscribers, anyMember].flatMap((sub) => publishers.flatMap((p) =>
        [...p.acknowledged].filter((n) => !sub.counts.has(`${p.name} ${n}`)).map((n) => `${sub.name}: ${p.name} ${n}`)));
    await until('everything has come', () => missing().length === 0, 60000).catch(() => {});
    assert.deepEqual(missing().slice(0, 20), [], 'acknowledged, but it never came');
    await sleep(500); // repeats would come now
    for (const sub of subscribers.filter(({ qos }) => qos === 2))
        for (const p of publishers.filter(({ qos }) => qos === 2)) {
            const twice = [...sub.counts].filter(([key, n]) => key.startsWith(`${p.name} `) && n > 1).map(([key]) => key);
            assert.deepEqual(twice.slice(0, 20), [], `${sub.name}: QoS 2 came twice`);
        }
    const total = publishers.reduce((sum, p) => sum + p.acknowledged.size, 0);
    t.diagnostic(`${total} acknowledged, ${publishers.reduce((sum, p) => sum + p.failed.size, 0)} not`);
    assert(total > SECONDS * 20, 'hardly any load');

    for (let i = 0; i < RESTLESS; i++) // their sessions end
        await (await s.client(gateway, { clientId: `restless-${i}`, clean: true })).endAsync();
    let broker;
    const calm = async () => {
        broker = (await gateway.status()).broker;
        return broker.clients === 8 && broker.queued === 0 && broker.persistence.messages === 0 && broker.persistence.sessions === 8 &&
            broker.persistence.disk_ok && broker.waiting_bytes === 0;
    };
    await until('only those that behave are left', calm, 60000).catch((error) => {
        throw new Error(`${error.message}: ${JSON.stringify(broker)}`);
    });
    assert.equal(broker.persistence.bad_rows, 0);
});

scenario('state.db vanishes while it runs', async (s) => {
    const gateway = await s.gateway();
    await gateway.start();
    const sub = await s.client(gateway, { clientId: 'c', protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 } });
    await sub.subscribeAsync('a', { qos: 2 });
    for (const file of ['state.db', 'state.db-wal', 'state.db-shm']) rmSync(path.join(gateway.data, file), { force: true });
    const pub = await s.client(gateway, { protocolVersion: 5 });
    const acknowledged = [];
    await until('publishes are taken again', async () => {
        const text = `${performance.now()}`;
        await pub.publishAsync('a', text, { qos: 2 }).then(() => acknowledged.push(text), () => {});
        return acknowledged.length >= 5;
    });
    await until('the session that is there goes on', () => sub.got.length >= acknowledged.length);
    await sub.endAsync();
    await pub.publishAsync('a', 'waits', { qos: 2 });
    await gateway.kill();
    await gateway.start();
    const again = await s.client(gateway, { clientId: 'c', protocolVersion: 5, clean: false });
    await until('what was acknowledged', () => again.got.some(([, text]) => text === 'waits'));
});
