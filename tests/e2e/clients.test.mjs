// clients.test.mjs - the local broker with the clients that people have: mosquitto_pub, mosquitto_sub and MQTT.js.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { sluice } from './lib/gateway.mjs';
import { certificates, scenario } from './lib/scenario.mjs';
import { freePort, run, until } from './lib/system.mjs';

const VERSIONS = [['3.1.1', 'mqttv311', 4], ['5', 'mqttv5', 5]];
const ready = (gateway, subscriptions) =>
    until(`${subscriptions} subscriptions`, async () => (await gateway.status()).broker.subscriptions >= subscriptions);

for (const [name, mosquitto, level] of VERSIONS) {
    scenario(`mosquitto's clients and MQTT.js understand each other, QoS 0, 1, 2, MQTT ${name}`, async (s) => {
        const gateway = await s.gateway();
        await gateway.start();
        const sub = s.sub(gateway, '-V', mosquitto, '-q', '2', '-t', 'to/sub/#', '-F', '%t %q %p');
        const client = await s.client(gateway, { protocolVersion: level });
        const { got } = client;
        await client.subscribeAsync('to/js/+', { qos: 2 });
        await ready(gateway, 2);
        for (const qos of [0, 1, 2]) {
            const sent = await s.pub(gateway, '-V', mosquitto, '-q', String(qos), '-t', `to/js/${qos}`, '-m', `m${qos}`);
            assert.equal(sent.code, 0, sent.stderr);
            await client.publishAsync(`to/sub/${qos}`, `j${qos}`, { qos });
        }
        await until('three each', () => got.length >= 3 && sub.lines.length >= 3);
        assert.deepEqual(got, [0, 1, 2].map((qos) => [`to/js/${qos}`, `m${qos}`, qos, false]));
        assert.deepEqual(sub.lines, [0, 1, 2].map((qos) => `to/sub/${qos} ${qos} j${qos}`));
    });

    scenario(`delivery is at the lower of both QoS, MQTT ${name}`, async (s) => {
        const gateway = await s.gateway();
        await gateway.start();
        const client = await s.client(gateway, { protocolVersion: level });
        const { got } = client;
        for (const qos of [0, 1, 2]) await client.subscribeAsync(`q/${qos}/+`, { qos });
        const expected = [];
        for (const wanted of [0, 1, 2])
            for (const qos of [0, 1, 2]) {
                await client.publishAsync(`q/${wanted}/${qos}`, 'x', { qos });
                expected.push([`q/${wanted}/${qos}`, 'x', Math.min(wanted, qos), false]);
            }
        await until('nine', () => got.length >= 9);
        assert.deepEqual(got.sort(), expected.sort());
    });

    scenario(`retained messages, MQTT ${name}`, async (s) => {
        const gateway = await s.gateway();
        await gateway.start();
        await s.pub(gateway, '-V', mosquitto, '-q', '1', '-r', '-t', 'kept/a', '-m', '1');
        await s.pub(gateway, '-V', mosquitto, '-q', '1', '-r', '-t', 'kept/b', '-m', '2');
        await s.pub(gateway, '-V', mosquitto, '-q', '1', '-t', 'kept/c', '-m', '3');
        await s.pub(gateway, '-V', mosquitto, '-q', '1', '-r', '-t', 'kept/b', '-n'); // removes it
        const client = await s.client(gateway, { protocolVersion: level });
        const { got } = client;
        await client.subscribeAsync('kept/#', { qos: 1 });
        await client.publishAsync('kept/a', '4', { qos: 1, retain: true }); // live: without the flag
        await until('two', () => got.length >= 2);
        assert.deepEqual(got, [['kept/a', '1', 1, true], ['kept/a', '4', 1, false]]);
        const later = await run('mosquitto_sub', ['-h', '127.0.0.1', '-p', String(gateway.port), '-V', mosquitto, '-t', 'kept/+',
            '-C', '1', '-W', '5', '-F', '%t %p %r']);
        assert.equal(later.stdout, 'kept/a 4 1\n');
    });

    scenario(`the will is sent when a client is cut off, not when it says good-bye, MQTT ${name}`, async (s) => {
        const gateway = await s.gateway();
        await gateway.start();
        const sub = s.sub(gateway, '-V', mosquitto, '-v', '-t', 'will/#');
        await ready(gateway, 1);
        const withWill = (who) => s.client(gateway, {
            protocolVersion: level, clientId: who, will: { topic: `will/${who}`, payload: 'gone', qos: 1, retain: true },
        });
        const polite = await withWill('polite');
        await polite.endAsync();
        const cut = await withWill('cut');
        cut.stream.destroy();
        await until('a will', () => sub.lines.length > 0);
        const silent = await s.client(gateway, { // its pings stay away: one and a half keep-alives later it is cut off
            protocolVersion: level, clientId: 'silent', keepalive: 1, reschedulePings: false,
            will: { topic: 'will/silent', payload: 'gone', qos: 0, retain: false },
        });
        silent.stream.pause();
        silent.stream.write = () => true;
        await until('the second will', () => sub.lines.length > 1, 10000);
        assert.deepEqual(sub.lines, ['will/cut gone', 'will/silent gone']);
        const kept = await run('mosquitto_sub', ['-h', '127.0.0.1', '-p', String(gateway.port), '-t', 'will/#', '-C', '1', '-W', '5', '-v']);
        assert.equal(kept.stdout, 'will/cut gone\n');
    });

    scenario(`a persistent session gets what came meanwhile, MQTT ${name}`, async (s) => {
        const gateway = await s.gateway();
        await gateway.start();
        const options = {
            protocolVersion: level, clientId: 'sleeper', clean: false,
            ...(level === 5 && { properties: { sessionExpiryInterval: 3600 } }),
        };
        const before = await s.client(gateway, options);
        await before.subscribeAsync('session/#', { qos: 1 });
        await before.endAsync();
        for (let n = 0; n < 20; n++) await s.pub(gateway, '-q', '1', '-t', 'session/x', '-m', String(n));
        await s.pub(gateway, '-q', '0', '-t', 'session/x', '-m', 'at most once');
        const again = await s.client(gateway, { ...options, connectTimeout: 5000 });
        const { got } = again;
        await until('twenty', () => got.filter((m) => m[2] === 1).length >= 20);
        assert.deepEqual(got.filter((m) => m[2] === 1).map((m) => m[1]), Array.from({ length: 20 }, (unused, n) => String(n)));
        await again.publishAsync('session/x', 'live', { qos: 1 });
        await until('the subscription is still there', () => got.at(-1)?.[1] === 'live');
        await again.endAsync();
        const clean = await s.client(gateway, { protocolVersion: level, clientId: 'sleeper', clean: true });
        const nothing = clean.got;
        await clean.publishAsync('session/x', 'nobody', { qos: 1 });
        await clean.subscribeAsync('end', { qos: 0 });
        await clean.publishAsync('end', 'x', { qos: 1 });
        await until('the end', () => nothing.length > 0);
        assert.deepEqual(nothing.map((m) => m[0]), ['end']);
    });
}

scenario('wildcards, and what they must not match', async (s) => {
    const gateway = await s.gateway();
    await gateway.start();
    const client = await s.client(gateway, { protocolVersion: 5 });
    const filters = ['a/+/c', 'a/#', '+', '/+', '+/+/+', '#'];
    const { got } = client;
    const matches = async (topic) => {
        got.length = 0;
        const seen = [];
        for (const filter of filters) {
            await client.subscribeAsync(filter, { qos: 1 });
            await client.publishAsync(topic, filter, { qos: 1 });
            await client.publishAsync('a/marker/c', '', { qos: 1 }).then(() => client.subscribeAsync('end/end', { qos: 1 }));
            await client.publishAsync('end/end', filter, { qos: 1 });
            await until('the end', () => got.some((m) => m[0] === 'end/end' && m[1] === filter));
            if (got.some((m) => m[0] === topic && m[1] === filter)) seen.push(filter);
            await client.unsubscribeAsync(filter);
        }
        return seen;
    };
    assert.deepEqual(await matches('a/b/c'), ['a/+/c', 'a/#', '+/+/+', '#']);
    assert.deepEqual(await matches('a'), ['a/#', '+', '#']);
    assert.deepEqual(await matches('/x'), ['/+', '#']);
    assert.deepEqual(await matches('a//c'), ['a/+/c', 'a/#', '+/+/+', '#']);
    const sys = s.sub(gateway, '-t', '$SYS/broker/version');
    await until('$SYS', () => sys.lines.length > 0);
    assert.match(sys.lines[0], /\d+\.\d+/);
});

scenario('MQTT 5: properties go through, shared names are taken over', async (s) => {
    const gateway = await s.gateway();
    await gateway.start();
    const client = await s.client(gateway, { protocolVersion: 5, clientId: 'twin' });
    const packets = [];
    client.on('message', (topic, payload, packet) => packets.push(packet));
    await client.subscribeAsync('p', { qos: 1, properties: { subscriptionIdentifier: 7 } });
    await client.publishAsync('p', 'x', {
        qos: 1,
        properties: {
            contentType: 'text/plain', responseTopic: 'answer', correlationData: Buffer.from('c1'), messageExpiryInterval: 60,
            payloadFormatIndicator: true, userProperties: { unit: 'C' },
        },
    });
    await until('it', () => packets.length > 0);
    const { properties } = packets[0];
    assert.equal(properties.contentType, 'text/plain');
    assert.equal(properties.responseTopic, 'answer');
    assert.equal(properties.correlationData.toString(), 'c1');
    assert.equal(properties.userProperties.unit, 'C');
    assert.equal(properties.subscriptionIdentifier, 7);
    assert(properties.messageExpiryInterval <= 60);
    const told = new Promise((resolve) => client.once('disconnect', resolve));
    await s.client(gateway, { protocolVersion: 5, clientId: 'twin' });
    assert.equal((await told).reasonCode, 0x8e, 'session taken over');
});

scenario('a Unix socket', async (s) => {
    const gateway = await s.gateway({ listeners: [{ name: 'local', protocol: 'mqtt', unix: 'mqtt.sock' }] });
    await gateway.start();
    const socket = path.join(gateway.dir, 'mqtt.sock');
    const client = await s.client(`unix://${socket}`, { protocolVersion: 5, unixSocket: true, path: socket });
    const { got } = client;
    await client.subscribeAsync('u', { qos: 1 });
    const sent = await run('mosquitto_pub', ['--unix', socket, '-q', '1', '-t', 'u', '-m', 'hello']);
    if (sent.code === 0) await until('it', () => got.length > 0);
    else await client.publishAsync('u', 'hello', { qos: 1 }).then(() => until('it', () => got.length > 0)); // an old mosquitto_pub
    assert.deepEqual(got, [['u', 'hello', 1, false]]);
    await gateway.kill();
    await gateway.start(); // the socket that was left behind is no obstacle
});

scenario('TLS with client certificates: those of the right CA come in, under the name in them', async (s) => {
    const certs = await certificates();
    const port = await freePort();
    const gateway = await s.gateway({
        listeners: [{
            name: 'tls', protocol: 'mqtts', bind: '127.0.0.1', port,
            tls: {
                cert: certs.path('server.crt'), key: certs.path('server.key'), ca: certs.path('ca.crt'), crl: certs.path('ca.crl'),
                client_cert: 'required', username_from_cert: true,
            },
        }],
        access: { anonymous: false },
        web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
    });
    await gateway.start();
    const url = `mqtts://127.0.0.1:${port}`;
    const client = await s.client(url, { ...certs.client(), clientId: 'with-cert', protocolVersion: 5 });
    const { got } = client;
    await client.subscribeAsync('secret', { qos: 1 });
    const tls = ['-h', 'localhost', '-p', String(port), '--cafile', certs.path('ca.crt')];
    const as = (name) => [...tls, '--cert', certs.path(`${name}.crt`), '--key', certs.path(`${name}.key`)];
    const publish = (...args) => run('mosquitto_pub', [...args, '-q', '1', '-t', 'secret', '-m', 'x']);
    assert.equal((await publish(...as('device'))).code, 0);
    await until('it', () => got.length === 1);
    const clients = JSON.parse((await gateway.http('/api/v1/clients')).text);
    assert.deepEqual((clients.items ?? clients).map((c) => [c.client_id, c.username]), [['with-cert', 'device-01']]);
    for (const stranger of ['other-device', 'expired-device', 'revoked'])
        assert.notEqual((await publish(...as(stranger))).code, 0, stranger);
    assert.notEqual((await publish(...tls)).code, 0, 'without a certificate');
    assert.notEqual((await publish('-h', '127.0.0.1', '-p', String(port))).code, 0, 'without TLS');
    assert.equal((await publish(...as('device'))).code, 0, 'and the others are not disturbed');
    await until('it', () => got.length === 2);
    for (const word of ['expired', 'revoked']) assert.match(gateway.allLog, new RegExp(word));
});

scenario('a users file: the right password, a wrong one, none', async (s) => {
    const gateway = await s.gateway({ access: { users_file: 'users' } });
    writeFileSync(path.join(gateway.dir, 'users'), '');
    const added = await sluice(['user', 'add', 'anna', '-c', gateway.file], { input: 'pass word\n' });
    assert.equal(added.code, 0, added.stderr);
    await run('mosquitto_passwd', ['-b', path.join(gateway.dir, 'users'), 'bert', 'sesame']);
    await gateway.start();
    const publish = (...args) => s.pub(gateway, '-q', '1', '-t', 't', '-m', 'x', ...args);
    assert.equal((await publish('-u', 'anna', '-P', 'pass word')).code, 0);
    assert.equal((await publish('-u', 'bert', '-P', 'sesame')).code, 0, 'made by mosquitto_passwd');
    for (const [mosquitto, reason] of [['mqttv311', /not authori[sz]ed|bad user name/i], ['mqttv5', /not authori[sz]ed|bad user name/i]]) {
        for (const args of [[], ['-u', 'anna', '-P', 'wrong'], ['-u', 'anna'], ['-u', 'nobody', '-P', 'pass word']]) {
            const refused = await publish('-V', mosquitto, ...args);
            assert.notEqual(refused.code, 0, `${mosquitto} ${args}`);
            assert.match(refused.stdout + refused.stderr, reason, `${mosquitto} ${args}`);
        }
    }
    await assert.rejects(s.client(gateway, { protocolVersion: 5, username: 'anna', password: 'no' }));
    await s.client(gateway, { protocolVersion: 5, username: 'anna', password: 'pass word' });
    // A user who is removed comes in no more after a reload.
    await sluice(['user', 'remove', 'bert', '-c', gateway.file]);
    gateway.process.kill('SIGHUP');
    await until('bert is gone', async () => (await publish('-u', 'bert', '-P', 'sesame')).code !== 0);
});

scenario('payloads of every kind and size, up to the limit', async (s) => {
    const gateway = await s.gateway({ broker: { max_packet_size: '256KiB' } });
    await gateway.start();
    for (const [, , level] of VERSIONS) {
        const client = await s.client(gateway, { protocolVersion: level });
        const got = [];
        client.on('message', (topic, payload) => got.push(payload));
        await client.subscribeAsync('size', { qos: 1 });
        const payloads = [0, 1, 126, 127, 128, 16383, 16384, 100000, 262000].map((size) => Buffer.alloc(size, 'ab\0\xff'));
        for (const payload of payloads) await client.publishAsync('size', payload, { qos: 1 });
        await until('all', () => got.length >= payloads.length);
        payloads.forEach((payload, i) => assert(got[i].equals(payload), `${payload.length} bytes`));
        await client.endAsync();
    }
    const big = path.join(s.dir, 'big');
    writeFileSync(big, Buffer.alloc(300000));
    const other = await s.client(gateway, { protocolVersion: 5 });
    const cut = await s.pub(gateway, '-V', 'mqttv311', '-q', '1', '-t', 'size', '-f', big);
    assert.notEqual(cut.code, 0, 'a client that cannot be told is cut off');
    await other.publishAsync('size', 'still there', { qos: 1 });
});

scenario('one slow subscriber does not hold the others up', async (s) => {
    const gateway = await s.gateway();
    await gateway.start();
    const slow = net.connect(gateway.port, '127.0.0.1'); // subscribes by hand and never reads
    s.defer(() => slow.destroy());
    slow.write(Buffer.from([0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 0, 0, 1, 115, 0x82, 6, 0, 1, 0, 1, 35, 0]));
    slow.pause();
    await ready(gateway, 1);
    const fast = await s.client(gateway, { protocolVersion: 5 });
    const { got } = fast;
    await fast.subscribeAsync('load', { qos: 0 });
    const payload = Buffer.alloc(10000, 'x');
    const pings = [];
    for (let n = 0; n < 1500; n++) {
        const began = performance.now();
        await fast.publishAsync('load', payload, { qos: 1 });
        pings.push(performance.now() - began);
    }
    await until('all', () => got.length === 1500);
    pings.sort((a, b) => a - b);
    assert(pings[Math.floor(pings.length * 0.99)] < 250, `99 % within ${pings[Math.floor(pings.length * 0.99)]} ms`);
});
