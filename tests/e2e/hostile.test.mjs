// hostile.test.mjs - bad input from everywhere: garbage on the ports, wrong certificates, broken configurations and
// databases, a full disk. The process lives or says exactly why it does not start; nothing acknowledged is lost.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Gateway } from './lib/gateway.mjs';
import { certificates, scenario } from './lib/scenario.mjs';
import { freePort, until, within } from './lib/system.mjs';

const rules = [{ name: 'all', sql: "SELECT * FROM 'site/#'", to: [{ cloud: 'up/${topic}' }] }];

/** Sends bytes and waits until the other side closes, or for `patience` ms. */
function throwAt(port, bytes, patience = 3000) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
        const parts = [];
        const timer = setTimeout(() => socket.destroy(), patience);
        socket.on('data', (data) => parts.push(data));
        socket.on('error', () => {});
        socket.on('close', () => {
            clearTimeout(timer);
            resolve(Buffer.concat(parts));
        });
    });
}

/** The gateway still does its work. */
async function stillWorks(s, gateway) {
    const sent = await s.pub(gateway, '-q', '1', '-t', 'site/alive', '-m', '{"n":1}');
    assert.equal(sent.code, 0, sent.stderr);
    assert.equal((await gateway.status()).gateway.id, 'e2e');
}

scenario('garbage on every port', async (s) => {
    const certs = await certificates();
    const tlsPort = await freePort();
    const webPort = await freePort();
    const gateway = await s.gateway({ rules, web: { bind: '127.0.0.1', port: webPort, anonymous: 'read' } });
    gateway.config.listeners.push({
        name: 'tls', protocol: 'mqtts', bind: '127.0.0.1', port: tlsPort,
        tls: { cert: certs.path('server.crt'), key: certs.path('server.key'), ca: certs.path('ca.crt'), client_cert: 'required' },
    });
    gateway.write();
    await gateway.start();
    const connect = Buffer.from('101000044d5154540402003c000474657374', 'hex'); // a good CONNECT, for what follows it
    const shapes = [
        () => randomBytes(1), () => randomBytes(64), () => randomBytes(20000),
        () => Buffer.concat([Buffer.from('10ffffffff7f', 'hex'), randomBytes(100)]), // a remaining length of five bytes
        () => Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        () => Buffer.concat([connect, randomBytes(200)]),
        () => Buffer.concat([Buffer.from('160301ffff01', 'hex'), randomBytes(2000)]), // like the start of TLS
    ];
    for (const port of [gateway.port, tlsPort, webPort])
        for (const shape of shapes)
            await Promise.all(Array.from({ length: 5 }, () => throwAt(port, shape(), 1500)));
    await stillWorks(s, gateway);
    assert.equal((await gateway.http('/healthz')).status, 200);
});

scenario('a client is told why it is refused', async (s) => {
    const gateway = await s.gateway({ rules });
    await gateway.start();
    const connect5 = Buffer.from('101100044d5154540502003c00000474657374', 'hex');
    const disconnect = (answer) => answer.subarray(answer.indexOf(0xe0));
    // Subscribe with a reserved bit, publish with QoS 3, publish to a wildcard, a second CONNECT.
    for (const [name, bytes, reason] of [
        ['reserved bits in SUBSCRIBE', '800700010000016101', 0x81],
        ['QoS 3', '3606000161000100', 0x81],
        ['a wildcard in a topic', '300400012300', 0x90],
        ['a second CONNECT', connect5.toString('hex'), 0x82],
    ]) {
        const answer = disconnect(await throwAt(gateway.port, Buffer.concat([connect5, Buffer.from(bytes, 'hex')])));
        assert.equal(answer[0], 0xe0, `${name}: no DISCONNECT`);
        assert.equal(answer[2], reason, name);
    }
    await stillWorks(s, gateway);
});

scenario('a broken configuration is not started, and every mistake is named', async (s) => {
    const gateway = await s.gateway({ rules });
    writeFileSync(gateway.file, '{\n  "listeners": [ { "port": 99999 } ],\n  "colour": 1\n}\n');
    const child = gateway.spawn();
    const end = await within(10000, 'the end', child.exited);
    assert.equal(end.code, 1);
    assert.match(child.log, /sluice\.json:2:\d+: listeners\[0\]\.port: /);
    assert.match(child.log, /sluice\.json:3:\d+: colour: /);
});

for (const [what, files, says] of [
    ['missing', { cert: 'nowhere.crt', key: 'server.key' }, /nowhere\.crt/],
    ['expired', { cert: 'expired.crt', key: 'expired.key' }, /expired\.crt.*(expired|2020)/],
    ['of another key', { cert: 'server.crt', key: 'device.key' }, /device\.key|does not (fit|belong|match)/],
]) {
    scenario(`a listener whose certificate is ${what} is not opened, with the reason`, async (s) => {
        const certs = await certificates();
        const gateway = await s.gateway({ rules });
        gateway.config.listeners.push({
            name: 'tls', protocol: 'mqtts', bind: '127.0.0.1', port: await freePort(),
            tls: { cert: certs.path(files.cert), key: certs.path(files.key) },
        });
        gateway.write();
        const child = gateway.spawn();
        assert.equal((await within(10000, 'the end', child.exited)).code, 1);
        assert.match(child.log, says);
    });
}

for (const [what, change, says] of [
    ['our certificate is expired', (c) => ({ cert: c.path('expired-device.crt'), key: c.path('expired-device.key') }), /expired/],
    ['our certificate is missing', () => ({ cert: 'nowhere.crt', key: 'nowhere.key' }), /nowhere/],
    ['the server is of a CA we do not trust', (c) => ({ ca: c.path('other-ca.crt') }), /not (signed|issued|trusted)|unknown|CA/],
    ['the server does not know our CA', (c) => ({ cert: c.path('other-device.crt'), key: c.path('other-device.key') }), /certificate/],
    ['the server has another name', () => ({ endpoint: '127.0.0.2' }), /127\.0\.0\.2/],
]) {
    scenario(`${what}: the link says so, and the gateway works on`, async (s) => {
        const cloud = await s.cloud();
        await cloud.start();
        const gateway = await s.gateway({ rules });
        gateway.config.cloud = cloud.config(change(cloud.certs));
        gateway.write();
        if (gateway.config.cloud.cert === 'nowhere.crt') { // absent when it is read, present when it was checked
            for (const file of ['nowhere.crt', 'nowhere.key']) writeFileSync(path.join(gateway.dir, file), 'to be removed');
        }
        await gateway.start();
        for (const file of ['nowhere.crt', 'nowhere.key']) rmSync(path.join(gateway.dir, file), { force: true });
        const status = await until('the reason is shown', async () => {
            const now = await gateway.status();
            return now.cloud.error ? now : undefined;
        }, 20000);
        assert.notEqual(status.cloud.state, 'online');
        assert.match(status.cloud.error, says);
        await stillWorks(s, gateway);
        assert.equal((await gateway.queue()).length, 1);
        assert.equal(cloud.messages.length, 0);
    });
}

for (const [what, content] of [['zero bytes', Buffer.alloc(0)], ['noise', randomBytes(40000)], ['zeros', Buffer.alloc(20000)]]) {
    scenario(`a database of ${what}`, async (s) => {
        const gateway = await s.gateway({ rules });
        mkdirSync(gateway.data, { recursive: true });
        writeFileSync(path.join(gateway.data, 'queue.db'), content);
        await gateway.start();
        await stillWorks(s, gateway);
        assert.equal((await gateway.queue()).length, 1);
        if (content.length > 0) {
            const aside = readdirSync(gateway.data).find((f) => f.startsWith('queue.db.bad-'));
            assert(aside, 'the bad file is kept');
            await until('the log says so', () => gateway.allLog.includes(aside));
            assert.match((await gateway.status()).store.set_aside, /queue\.db\.bad-/);
        }
        await gateway.kill();
        await gateway.start();
        assert.equal((await gateway.queue()).length, 1);
    });
}

scenario('two gateways do not share a data_dir', async (s) => {
    const first = await s.gateway({ rules });
    await first.start();
    const second = await Gateway.make(path.join(s.dir, 'second'), { gateway: { id: 'two', data_dir: first.data } });
    const child = second.spawn();
    assert.equal((await within(10000, 'the end', child.exited)).code, 1);
    assert.match(child.log, /another sluice|data_dir/);
    await stillWorks(s, first);
});

/** A tmpfs of its own, or nothing where that is not allowed. */
function smallDisk(s, where) {
    mkdirSync(where, { recursive: true });
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', where]).status === 0;
    if (mounted) s.defer(() => spawnSync('umount', ['-l', where]));
    return mounted;
}

scenario('a full disk: what cannot be stored is not acknowledged, and work goes on when there is room', async (s, t) => {
    const gateway = await s.gateway({ rules });
    if (!smallDisk(s, gateway.data)) {
        t.skip('no tmpfs can be mounted here');
        return;
    }
    s.defer(() => gateway.stop()); // before the disk goes
    const ballast = path.join(gateway.data, 'ballast');
    await gateway.start();
    await stillWorks(s, gateway);
    spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k'], { stdio: 'ignore' }); // to the last byte
    const client = await s.client(gateway, { protocolVersion: 4 });
    let acknowledged = 0;
    const pending = Array.from({ length: 20 }, (_, i) =>
        client.publishAsync('site/full', JSON.stringify({ i, pad: 'x'.repeat(5000) }), { qos: 1 }).then(() => acknowledged++, () => {}));
    await until('the trouble is shown', async () => !(await gateway.status()).store.disk_ok, 30000);
    assert.match((await gateway.status()).store.disk_error, /room|full|space/i);
    await until('the log says so', () => /error store/.test(gateway.allLog));
    const before = acknowledged;
    const waiting = (await gateway.status()).store.messages;
    assert(waiting >= 1 + before, 'what was acknowledged is there');
    rmSync(ballast);
    await until('the disk is used again', async () => (await gateway.status()).store.disk_ok, 30000);
    await within(30000, 'the acknowledgements', Promise.all(pending));
    assert.equal(acknowledged, 20);
    await client.endAsync(true);
    await gateway.kill();
    await gateway.start();
    const rows = (await gateway.queue()).filter((m) => m.topic === 'up/site/full');
    assert.deepEqual(rows.map((m) => m.payload.i), Array.from({ length: 20 }, (_, i) => i));
    assert(existsSync(path.join(gateway.data, 'queue.db')));
});
