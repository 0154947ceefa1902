// hostile.test.mjs - garbage on every port, broken files, wrong certificates, a damaged database, a full disk: the
// process lives, or says exactly why it does not start; nothing acknowledged is lost.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { checkOrder, dedup, parseId } from './lib/cloud.mjs';
import { mountSmall, needsRoot, remount } from './lib/disk.mjs';
import { sluice } from './lib/gateway.mjs';
import { certificates, scenario } from './lib/scenario.mjs';
import { freePort, run, sleep, until } from './lib/system.mjs';

const all = [{ name: 'all', sql: "SELECT * FROM 'in/#'", to: [{ cloud: 'up/${topic}' }] }];

async function everything(s, more = {}) {
    const certs = await certificates();
    const [plain, tls, web] = [await freePort(), await freePort(), await freePort()];
    const gateway = await s.gateway({
        listeners: [
            { name: 'lan', protocol: 'mqtt', bind: '127.0.0.1', port: plain },
            { name: 'tls', protocol: 'mqtts', bind: '127.0.0.1', port: tls,
                tls: { cert: certs.path('server.crt'), key: certs.path('server.key'), ca: certs.path('ca.crt'), client_cert: 'required' } },
        ],
        web: { bind: '127.0.0.1', port: web, anonymous: 'read' },
        rules: all,
        ...more,
    });
    gateway.port = plain;
    return { gateway, plain, tls, web, certs };
}

/** Sends bytes and waits until the other side ends, or for a moment; the answer's length. */
function throwAt(port, bytes, patience = 300) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        let answered = 0;
        const done = () => (socket.destroy(), resolve(answered));
        socket.on('error', done).on('close', done).on('data', (data) => (answered += data.length));
        socket.write(bytes);
        setTimeout(done, patience).unref();
    });
}

async function works(s, gateway, client) {
    await client.publishAsync('still/works', 'x', { qos: 1 });
    assert.equal((await s.pub(gateway, '-q', '1', '-t', 'still/works', '-m', 'y')).code, 0);
    assert.equal((await gateway.http('/healthz')).status, 200);
}

scenario('garbage on every port', async (s, t) => {
    const { gateway, plain, tls, web } = await everything(s, { broker: { connect_rate: 10000 } });
    await gateway.start();
    const client = await s.client(gateway, { protocolVersion: 5, keepalive: 60 });
    const connect = [0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 1, 120];
    const broken = [
        [0x00], [0xff, 0xff, 0xff, 0xff, 0xff], [0x10, 0xff, 0xff, 0xff, 0xff], [0x10, 0xff, 0xff, 0xff, 0x7f],
        [0x10, 0], [0x10, 2, 0, 200], connect.slice(0, 9), [...connect.slice(0, 8), 99, ...connect.slice(9)],
        [...connect, ...connect], [...connect, 0x30, 0], [...connect, 0x32, 5, 0, 1, 97, 0, 0],
        [...connect, 0x36, 5, 0, 1, 97, 0, 1], [...connect, 0x82, 5, 0, 1, 0, 0, 0], [...connect, 0x82, 2, 0, 1],
        [...connect, 0x82, 6, 0, 1, 0, 1, 35, 3], [...connect, 0x40, 2, 0, 9], [...connect, 0x62, 2, 0, 9],
        [...connect, 0xc0, 1, 0], [...connect, 0x30, 4, 0, 2, 0xc3, 0x28], [...connect, 0x30, 3, 0, 1, 0],
        [...connect, 0x30, 4, 0, 2, 97, 35], [...connect, 0x20, 2, 0, 0], [...connect, 0xf0, 0],
    ].map((bytes) => Buffer.from(bytes));
    for (const bytes of broken) await throwAt(plain, bytes, 60);
    const requests = ['\r\n', 'GET', 'GET /\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n',
        `GET /${'a'.repeat(100000)} HTTP/1.1\r\n\r\n`, `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(20000)}\r\n`,
        'GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n', 'GET /%00%ff%2e%2e/ HTTP/1.1\r\nHost: x\r\n\r\n',
        'GET /api/v1/history?series=%F0&since=99999999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n',
        'GET /api/v1/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
        'POST /api/v1/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx',
        'GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'];
    for (const text of requests) await throwAt(web, text, 60);
    for (let n = 0; n < 120; n++)
        await Promise.all([plain, tls, web].map((port) => throwAt(port, randomBytes(1 + Math.floor(Math.random() * 3000)), 40)));
    for (const port of [tls, web]) for (const bytes of broken.slice(0, 8)) await throwAt(port, bytes, 40);
    // TLS that begins well and then goes wrong.
    const hello = Buffer.from('160301020001000001fc0303', 'hex');
    for (let n = 0; n < 40; n++) await throwAt(tls, Buffer.concat([hello, randomBytes(n * 13)]), 40);
    assert((await gateway.http('/../../../../etc/passwd')).status >= 400);
    assert(client.connected, 'the client that was there is undisturbed');
    await works(s, gateway, client);
    const status = await gateway.status();
    await until('the others are gone', async () => (await gateway.status()).broker.clients <= 1);
    t.diagnostic(`${status.broker.clients_refused} refused`);
});

scenario('slow and half-open connections', async (s) => {
    const { gateway, plain, tls, web } = await everything(s, { broker: { connect_timeout: '1s', connect_rate: 10000 } });
    await gateway.start();
    const client = await s.client(gateway, { protocolVersion: 5 });
    const ended = [];
    const sockets = [];
    for (const port of [plain, tls])
        for (const [name, bytes] of [['silent', []], ['one byte', [0x10]], ['half a CONNECT', [0x10, 13, 0, 4, 77, 81]]])
            for (let n = 0; n < 10; n++) {
                const socket = net.connect(port, '127.0.0.1');
                socket.on('error', () => {}).on('close', () => ended.push(name)).on('data', () => {});
                if (bytes.length > 0) socket.write(Buffer.from(bytes));
                sockets.push(socket);
            }
    for (let n = 0; n < 10; n++) {
        const socket = net.connect(web, '127.0.0.1');
        socket.on('error', () => {}).on('close', () => {});
        socket.write('GET / HT');
        s.defer(() => socket.destroy());
    }
    const began = performance.now();
    while (ended.length < sockets.length && performance.now() - began < 10000) {
        await client.publishAsync('meanwhile', 'x', { qos: 1 });
        await sleep(10);
    }
    assert.equal(ended.length, sockets.length, 'all that did not connect in time are closed');
    await works(s, gateway, client);
});

scenario('a configuration that is no configuration', async (s) => {
    for (const content of ['', '{', 'port = 1883', randomBytes(2000), '{"a":'.repeat(100000), `{"gateway":"${'x'.repeat(3000000)}"}`]) {
        const file = path.join(s.dir, 'broken.json');
        writeFileSync(file, content);
        const done = await sluice(['run', '-c', file]);
        assert.equal(done.code, 1, String(content).slice(0, 30));
        assert.match(done.stderr, /broken\.json:\d+:\d+: |broken\.json: /);
        assert.match(done.stderr, /not started/);
    }
    const done = await sluice(['run', '-c', s.dir]);
    assert.equal(done.code, 1);
});

const cannotStart = async (gateway, ...patterns) => {
    const done = await sluice(['run', '-c', gateway.file]);
    assert.equal(done.code, 1, done.stderr);
    for (const pattern of patterns) assert.match(done.stderr, pattern);
};

scenario('a listener whose certificate is missing, damaged or of another key: it says so and does not start', async (s) => {
    const certs = await certificates();
    const listener = (tls) => ({ listeners: [{ name: 'tls', protocol: 'mqtts', bind: '127.0.0.1', port: 18883, tls }] });
    const noise = path.join(s.dir, 'noise.crt');
    writeFileSync(noise, randomBytes(1000));
    const key = certs.path('server.key');
    await cannotStart(await s.gateway(listener({ cert: 'none.crt', key })), /none\.crt/, /[Nn]o such file/);
    await cannotStart(await s.gateway(listener({ cert: noise, key })), /noise\.crt/, /no certificate/);
    await cannotStart(await s.gateway(listener({ cert: certs.path('server.crt'), key: certs.path('device.key') })),
        /device\.key/, /does not belong to/);
    await cannotStart(await s.gateway(listener({ cert: certs.path('server.crt'), key, ca: noise, client_cert: 'required' })), /noise\.crt/);
});

// What the cloud link says, and where; the gateway itself goes on.
const cloudTroubles = [
    ['an expired certificate', (c) => ({ cert: c.path('expired-device.crt'), key: c.path('expired-device.key') }), /expired/],
    ['a certificate of a CA that the cloud does not know', (c) => ({ cert: c.path('other-device.crt'), key: c.path('other-device.key') }), /unknown|certificate|refused/i],
    ['the wrong CA', (c) => ({ ca: c.path('other-ca.crt') }), /not.*(signed|issued|trusted|known)|unknown.*CA|cloud\.ca|CA/],
    ['a name that the server\'s certificate does not have', () => ({ endpoint: '127.0.0.2' }), /name|127\.0\.0\.2/],
];
for (const [name, change, pattern] of cloudTroubles) {
    scenario(`the cloud with ${name}: said in status and log, messages wait`, async (s) => {
        const certs = await certificates();
        const cloud = await s.cloud();
        await cloud.start();
        if (name.includes('name')) { // the gate listens on 127.0.0.1 alone
            const relay = net.createServer((outside) => {
                const inside = net.connect(cloud.port, '127.0.0.1');
                outside.on('error', () => {}).pipe(inside).on('error', () => {}).pipe(outside);
            }).listen(cloud.port, '127.0.0.2');
            s.defer(() => relay.close());
        }
        const gateway = await s.gateway({ rules: all, cloud: cloud.config(change(certs)) });
        await gateway.start();
        const client = await s.client(gateway);
        await client.publishAsync('in/a', '1', { qos: 1 });
        const trouble = await until('a cause', async () => {
            const now = (await gateway.status()).cloud;
            return now.error && now;
        });
        assert.notEqual(trouble.state, 'online');
        assert.match(trouble.cause, /^(tls|certificate)$/, trouble.error);
        assert.match(trouble.error, pattern);
        assert(gateway.allLog.includes(trouble.error), 'the log has it, too');
        assert.deepEqual((await gateway.queue()).map((m) => m.topic), ['up/in/a']);
        assert.equal(cloud.messages.length, 0);
    });
}

scenario('the cloud with certificate files that are missing or damaged', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const noise = path.join(s.dir, 'noise.key');
    writeFileSync(noise, randomBytes(100), { mode: 0o600 });
    await cannotStart(await s.gateway({ rules: all, cloud: cloud.config({ cert: '/nowhere/device.crt' }) }), /\/nowhere\/device\.crt/);
    const gateway = await s.gateway({ rules: all, cloud: cloud.config({ key: noise }) });
    const child = gateway.spawn();
    await until('it ends, or says what is wrong', async () => child.over || /noise\.key/.test(child.log));
    if (!child.over) {
        await until('it listens', () => child.log.includes('is ready'));
        assert.equal((await s.pub(gateway, '-q', '1', '-t', 'in/a', '-m', '1')).code, 0);
        assert.match((await gateway.status()).cloud.error, /noise\.key/);
    }
    assert.match(child.log, /noise\.key/);
    if (child.over) gateway.checkLog();
});

for (const [name, damage] of [
    ['zero bytes', () => Buffer.alloc(0)],
    ['noise', () => randomBytes(50000)],
    ['a valid header and noise', () => Buffer.concat([Buffer.from('SQLite format 3\0'), randomBytes(50000)])],
    ['text', () => Buffer.from('this is not a database\n')],
]) {
    scenario(`a queue.db of ${name} is set aside, and everybody is told`, async (s) => {
        const cloud = await s.cloud();
        const gateway = await s.gateway({
            rules: all, cloud: cloud.config(), web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
        });
        await gateway.start();
        const client = await s.client(gateway);
        for (let n = 0; n < 5; n++) await client.publishAsync('in/before', String(n), { qos: 1 });
        const before = (await gateway.queue()).map((m) => m.number);
        await gateway.stop();
        for (const file of ['queue.db-wal', 'queue.db-shm']) rmSync(path.join(gateway.data, file), { force: true });
        writeFileSync(path.join(gateway.data, 'queue.db'), damage());
        await gateway.start();
        const aside = path.basename(await until('status tells', async () => (await gateway.status()).store.set_aside));
        assert.match(aside, /^queue\.db.*\d{4}/, 'with a date in its name');
        assert(existsSync(path.join(gateway.data, aside)), aside);
        await until('the log has it', () => gateway.process.log.includes(aside));
        await until('the page shows it', async () => (await gateway.status()).events.some((event) => event.text.includes(aside)));
        const again = await s.client(gateway);
        for (let n = 0; n < 5; n++) await again.publishAsync('in/after', String(n), { qos: 1 });
        const after = (await gateway.queue()).map((m) => m.number);
        assert.equal(after.length, 5);
        assert(after.every((number) => !before.includes(number)), `numbers used again: ${before} ${after}`);
        await gateway.kill();
        await cloud.start();
        await gateway.start();
        await gateway.drained();
        assert.deepEqual(dedup(cloud.messages).map((m) => m.text), ['0', '1', '2', '3', '4']);
    });
}

scenario('a data_dir that cannot be made: it says so and does not start', async (s) => {
    const file = path.join(s.dir, 'file');
    writeFileSync(file, '');
    await cannotStart(await s.gateway({ gateway: { id: 'x', data_dir: path.join(file, 'data') } }), /data_dir/, /file/);
});

scenario('a full disk: nothing is acknowledged that cannot be stored, and all is well when there is room again',
    needsRoot, async (s, t) => {
        const disk = path.join(s.dir, 'disk');
        const cloud = await s.cloud();
        const gateway = await s.gateway({
            gateway: { id: 'e2e', data_dir: path.join(disk, 'data') }, rules: all, cloud: cloud.config(),
            web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
            store: { when_full: 'refuse' }, // with the others something older goes, and is counted: e2e_outage
        });
        const why = await mountSmall(s, gateway, '4m', disk);
        if (why) return t.skip(why);
        await gateway.start();
        const acknowledged = [];
        const payload = (n) => JSON.stringify({ n, fill: 'x'.repeat(1000) });
        const publisher = await s.client(gateway, { protocolVersion: 5, clientId: 'filler' });
        let next = 0, refused = 0;
        const publish = (n) => publisher.publishAsync('in/fill', payload(n), { qos: 1 })
            .then(() => acknowledged.push(n), () => refused++);
        // Until nothing is acknowledged any more.
        const pending = new Set();
        let seen = -1;
        while (acknowledged.length !== seen) {
            seen = acknowledged.length;
            while (pending.size < 50) {
                const one = publish(next++);
                pending.add(one);
                one.then(() => pending.delete(one));
            }
            const until_ = performance.now() + 2500;
            while (pending.size > 25 && performance.now() < until_) await sleep(20);
            if (next > 20000) break;
        }
        const whenFull = acknowledged.length;
        t.diagnostic(`${whenFull} acknowledged of ${next}, ${refused} refused, disk ${statSync(disk).size}`);
        assert(whenFull > 100, `only ${whenFull} fitted`);
        assert(next < 20000, 'the disk was never full');
        const { store } = await gateway.status();
        assert.equal(store.disk_ok, false, 'status says that the disk is full');
        assert.notEqual(store.disk_error, '');
        assert.match(gateway.allLog, /no room on the file system/);
        assert.equal((await gateway.http('/healthz')).status, 200);
        assert.equal((await gateway.http('/readyz')).status, 503);
        // kill -9 with a full disk: it starts again, with all that it had acknowledged.
        await gateway.kill();
        const frozen = [...acknowledged];
        await gateway.start();
        assert((await gateway.queue()).length >= frozen.length, 'everything acknowledged is still there');
        // Room again.
        await remount(disk, 'size=64m');
        const later = await s.client(gateway, { protocolVersion: 5 });
        await later.publishAsync('in/later', 'room', { qos: 1 });
        await until('the disk is fine', async () => (await gateway.status()).store.disk_ok, 20000);
        assert.equal((await gateway.http('/readyz')).status, 200);
        await cloud.start();
        await gateway.drained(30000);
        const unique = dedup(cloud.messages);
        checkOrder(unique);
        const there = new Set(unique.filter((m) => m.topic === 'up/in/fill').map((m) => JSON.parse(m.text).n));
        assert.deepEqual(frozen.filter((n) => !there.has(n)), [], 'acknowledged, but lost');
        assert(unique.some((m) => m.topic === 'up/in/later'));
        unique.forEach((m) => parseId(m.id));
    });
