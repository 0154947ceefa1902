// websocket.test.mjs - MQTT over WebSocket: the upgrade, frames of every shape, TLS, pressure both ways, reloads.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { WebSocket } from 'ws';
import { sluice } from './lib/gateway.mjs';
import { certificates, scenario } from './lib/scenario.mjs';
import { freePort, until, within } from './lib/system.mjs';

const CONNECT = (id, version = 4) => {
    const name = version === 3 ? [0, 6, ...Buffer.from('MQIsdp')] : [0, 4, ...Buffer.from('MQTT')];
    const body = [...name, version, 2, 0, 60, ...(version === 5 ? [0] : []), 0, id.length, ...Buffer.from(id)];
    return Buffer.from([0x10, body.length, ...body]);
};
const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const PING = Buffer.from([0xc0, 0]);

async function withSocket(s, { tls, broker, access, start = true } = {}) {
    const port = await freePort();
    const gateway = await s.gateway({
        listeners: [
            { name: 'lan', protocol: 'mqtt', bind: '127.0.0.1', port: await freePort() },
            { name: 'web', protocol: tls ? 'wss' : 'ws', bind: '127.0.0.1', port, ...(tls && { tls }) },
        ],
        ...(broker && { broker }),
        ...(access && { access }),
    });
    gateway.port = gateway.config.listeners[0].port;
    gateway.wsPort = port;
    gateway.url = `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}/mqtt`;
    if (start) await gateway.start();
    return gateway;
}

/** A WebSocket by hand: `bytes` is what came in binary frames, `end` its {code} or {status}. */
function socket(s, url, protocols = ['mqtt'], options = {}) {
    const ws = new WebSocket(url, protocols, options);
    s.defer(() => ws.terminate());
    ws.bytes = Buffer.alloc(0);
    ws.on('message', (data, binary) => {
        assert(binary, 'only binary frames');
        ws.bytes = Buffer.concat([ws.bytes, data]);
    });
    ws.end = new Promise((resolve) => {
        ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
        ws.on('unexpected-response', (request, response) => {
            let text = '';
            response.setEncoding('utf8').on('data', (part) => (text += part));
            response.on('end', () => resolve({ status: response.statusCode, text, headers: response.headers }));
            response.on('error', () => resolve({ status: response.statusCode, text }));
        });
    });
    ws.on('error', () => {});
    ws.opened = new Promise((resolve) => ws.on('open', resolve));
    return ws;
}

/** An MQTT.js client whose WebSocket is `client.ws`. */
async function clientOver(s, url, options) {
    let ws;
    const client = await s.client(url, {
        ...options,
        createWebsocket: (where, protocols) => (ws = new WebSocket(where, protocols)),
    });
    client.ws = ws;
    return client;
}

const has = (ws, bytes) => until('the answer', () => ws.bytes.length >= bytes.length)
    .then(() => assert.deepEqual(ws.bytes.subarray(0, bytes.length), bytes));

scenario('the upgrade: sub-protocol, path, and what is refused', async (s) => {
    const gateway = await withSocket(s);
    for (const [asked, given] of [[['mqtt'], 'mqtt'], [['mqttv3.1'], 'mqttv3.1'], [['foo', 'mqtt'], 'mqtt']]) {
        const ws = socket(s, gateway.url, asked);
        await within(5000, 'the upgrade', ws.opened);
        assert.equal(ws.protocol, given);
        assert.equal(ws.extensions, '', 'no compression');
        ws.send(CONNECT('a', given === 'mqtt' ? 4 : 3));
        await has(ws, CONNACK);
    }
    const query = socket(s, `${gateway.url}?token=1`);
    await within(5000, 'a query is not the path', query.opened);
    for (const [url, protocols, status] of [
        [gateway.url, [], 400], [gateway.url, ['foo'], 400], [gateway.url, ['MQTT'], 400],
        [gateway.url.replace('/mqtt', '/'), ['mqtt'], 404], [`${gateway.url}/x`, ['mqtt'], 404],
    ]) {
        const end = await within(5000, 'the refusal', socket(s, url, protocols).end);
        assert.equal(end.status, status, `${url} ${protocols}`);
    }
    const ask = (path, method = 'GET') => new Promise((resolve, reject) => {
        http.request({ port: gateway.wsPort, path, method, agent: false }, (response) => {
            response.resume();
            resolve(response);
        }).on('error', reject).end();
    });
    const plain = await ask('/mqtt');
    assert.equal(plain.statusCode, 426);
    assert.equal(plain.headers.upgrade, 'websocket');
    assert.equal((await ask('/')).statusCode, 404);
});

scenario('packets may span frames, and frames may hold many packets', async (s) => {
    const gateway = await withSocket(s);
    const one = socket(s, gateway.url);
    await one.opened;
    for (const byte of CONNECT('bytes')) one.send(Buffer.from([byte]));
    await has(one, CONNACK);
    const many = socket(s, gateway.url);
    await many.opened;
    many.send(Buffer.concat([CONNECT('many'), ...Array(1000).fill(PING)]));
    await has(many, Buffer.concat([CONNACK, ...Array(1000).fill(Buffer.from([0xd0, 0]))]));
    const parts = socket(s, gateway.url); // one message in fragments, an empty one between
    await parts.opened;
    const connect = CONNECT('parts');
    parts.send(connect.subarray(0, 3), { fin: false });
    parts.send(Buffer.alloc(0), { fin: false });
    parts.send(connect.subarray(3), { fin: true });
    await has(parts, CONNACK);
    parts.ping('x');
    await new Promise((resolve) => parts.once('pong', resolve));
});

scenario('what comes while the password is checked is not forgotten', async (s) => {
    const gateway = await withSocket(s, { access: { users_file: 'users' }, start: false });
    writeFileSync(path.join(gateway.dir, 'users'), '');
    const added = await sluice(['user', 'add', 'anna', '-c', gateway.file], { input: 'pass word\n' });
    assert.equal(added.code, 0, added.stderr);
    await gateway.start();
    const text = (value) => [0, value.length, ...Buffer.from(value)];
    const body = [...text('MQTT'), 4, 0xc2, 0, 60, ...text('id'), ...text('anna'), ...text('pass word')];
    const connect = Buffer.from([0x10, body.length, ...body]);
    for (const [frames, size] of [[3, 1], [50, 100]]) {
        const ws = socket(s, gateway.url);
        await ws.opened;
        ws._socket.cork();
        ws.send(connect);
        for (let n = 0; n < frames; n++) ws.send(Buffer.concat(Array(size).fill(PING)));
        ws._socket.uncork();
        await has(ws, Buffer.concat([CONNACK, ...Array(frames * size).fill(Buffer.from([0xd0, 0]))]));
    }
});

scenario('a text frame ends the connection, and so does what is not MQTT', async (s) => {
    const gateway = await withSocket(s);
    const will = await s.client(gateway.url, { protocolVersion: 5, clientId: 'watcher' });
    await will.subscribeAsync('will', { qos: 1 });
    const talker = await clientOver(s, gateway.url, { protocolVersion: 5, will: { topic: 'will', payload: 'text', qos: 1 } });
    talker.ws.send('hello');
    await until('the will', () => will.got.length > 0);
    const text = socket(s, gateway.url);
    await text.opened;
    text.send('hello');
    assert.equal((await within(5000, 'the end', text.end)).code, 1003);
    const garbage = socket(s, gateway.url);
    await garbage.opened;
    garbage.send(PING); // before CONNECT
    assert.equal((await within(5000, 'the end', garbage.end)).code, 1000);
    const polite = socket(s, gateway.url);
    await polite.opened;
    polite.send(Buffer.concat([CONNECT('polite'), Buffer.from([0xe0, 0])]));
    assert.equal((await within(5000, 'the end', polite.end)).code, 1000, 'after DISCONNECT the server closes');
    assert.match(gateway.allLog, /a WebSocket text frame/);
});

scenario('time-outs and bounds hold for WebSockets', async (s) => {
    const gateway = await withSocket(s, { broker: { connect_timeout: '1s', max_connections: 5 } });
    const silent = socket(s, gateway.url);
    await silent.opened;
    const raw = net.connect(gateway.wsPort, '127.0.0.1').on('error', () => {});
    const cut = new Promise((resolve) => raw.on('close', resolve));
    raw.write('GET /mqtt HTTP/1.1\r\nHost: x\r\n'); // and no more
    await within(6000, 'no CONNECT', silent.end);
    await within(6000, 'no request', cut);
    const sockets = [];
    for (let n = 0; n < 5; n++) {
        sockets.push(socket(s, gateway.url));
        await sockets[n].opened;
        sockets[n].send(CONNECT(`n${n}`));
        await has(sockets[n], CONNACK);
    }
    const over = socket(s, gateway.url);
    const end = await within(5000, 'one too many', Promise.race([over.end, over.opened.then(() => 'open')]));
    assert.notEqual(end, 'open');
    const { broker } = await gateway.status();
    assert.equal(broker.clients, 5);
});

scenario('pressure both ways: a slow reader loses QoS 0 only, a fast writer is slowed', async (s) => {
    const gateway = await withSocket(s, { broker: { max_queued_bytes: '256KiB' } });
    const fast = await s.client(gateway, { protocolVersion: 5, clientId: 'fast' });
    const slow = await clientOver(s, gateway.url, { protocolVersion: 5, clientId: 'slow' });
    await slow.subscribeAsync('zero', { qos: 0 });
    await slow.subscribeAsync('one', { qos: 1 });
    slow.ws._socket.pause();
    const payload = Buffer.alloc(20000, 'x');
    for (let n = 0; n < 1500; n++) await fast.publishAsync('zero', payload, { qos: n % 10 === 0 ? 1 : 0 });
    await until('drops', async () => (await gateway.status()).broker.dropped > 0);
    slow.ws._socket.resume();
    await fast.publishAsync('one', 'last', { qos: 1 });
    await until('the last', () => slow.got.at(-1)?.[1] === 'last');
    assert(slow.got.length < 1501);
});

scenario('large messages up a WebSocket, as many at once as it may send', async (s) => {
    const gateway = await withSocket(s, { broker: { max_queued_bytes: '64MiB' } });
    const fast = await s.client(gateway, { protocolVersion: 5, clientId: 'fast' });
    const up = await s.client(gateway.url, { protocolVersion: 5, clientId: 'up' });
    await fast.subscribeAsync('up', { qos: 2 });
    const numbers = Array.from({ length: 60 }, (unused, n) => n);
    await Promise.all(numbers.map((n) => up.publishAsync('up', `${n} ${'y'.repeat(100000)}`, { qos: 2 })));
    await until('all', () => fast.got.length === 60, 30000);
    assert.deepEqual(fast.got.map((m) => parseInt(m[1], 10)), numbers);
});

scenario('wss: the certificate, client certificates and the name in them', async (s) => {
    const certs = await certificates();
    const files = { cert: certs.path('server.crt'), key: certs.path('server.key') };
    const open = await withSocket(s, { tls: files });
    const ca = certs.read('ca.crt');
    const client = await s.client(open.url, { protocolVersion: 5, ca });
    await client.subscribeAsync('t', { qos: 1 });
    await client.publishAsync('t', 'x'.repeat(300000 / 2), { qos: 1 });
    await until('it', () => client.got.length === 1);
    await assert.rejects(s.client(open.url, { protocolVersion: 5 }), 'a CA that the client does not know');
    await assert.rejects(s.client(open.url.replace('wss', 'ws'), { protocolVersion: 5, connectTimeout: 3000 }), 'without TLS');
    for (const mode of ['required', 'optional']) {
        const gateway = await withSocket(s, {
            tls: { ...files, ca: certs.path('ca.crt'), crl: certs.path('ca.crl'), client_cert: mode, username_from_cert: true },
            access: { anonymous: false },
        });
        const named = await s.client(gateway.url, { ...certs.client(), protocolVersion: 5, clientId: 'with-cert' });
        await named.publishAsync('t', 'x', { qos: 1 });
        for (const stranger of ['other-device', 'expired-device', 'revoked'])
            await assert.rejects(s.client(gateway.url, { ...certs.client(stranger), ca, protocolVersion: 5 }), `${mode} ${stranger}`);
        await assert.rejects(s.client(gateway.url, { ca, protocolVersion: 5 }), `${mode}: without a certificate there is no name`);
        for (const word of ['expired', 'revoked']) assert.match(gateway.allLog, new RegExp(word));
        assert.equal((await gateway.status()).broker.clients, 1);
    }
});

scenario('reloads: unchanged listeners keep their clients, others change under them', async (s) => {
    const gateway = await withSocket(s);
    const stays = await s.client(gateway.url, { protocolVersion: 5, clientId: 'stays' });
    await stays.subscribeAsync('t', { qos: 1 });
    const reload = async () => {
        const before = gateway.process.log.length;
        gateway.write();
        gateway.process.kill('SIGHUP');
        await until('the reload', () => /up to date|nothing was changed/.test(gateway.process.log.slice(before)));
        return gateway.process.log.slice(before);
    };
    for (let n = 0; n < 3; n++) {
        await reload();
        await stays.publishAsync('t', `after ${n}`, { qos: 1 });
        await (await s.client(gateway.url, { protocolVersion: 4 })).endAsync();
    }
    gateway.config.listeners[1].path = '/other';
    await reload();
    await assert.rejects(s.client(gateway.url, { protocolVersion: 4 }));
    await (await s.client(gateway.url.replace('/mqtt', '/other'), { protocolVersion: 4 })).endAsync();
    gateway.config.listeners[1] = { name: 'web', protocol: 'mqtt', bind: '127.0.0.1', port: gateway.wsPort };
    await reload();
    await (await s.client(`mqtt://127.0.0.1:${gateway.wsPort}`, { protocolVersion: 4 })).endAsync();
    const certs = await certificates();
    gateway.config.listeners[1] = { name: 'web', protocol: 'wss', bind: '127.0.0.1', port: gateway.wsPort, tls: { cert: certs.path('server.crt'), key: certs.path('server.key') } };
    await reload();
    await (await s.client(gateway.url.replace('ws:', 'wss:'), { protocolVersion: 4, ca: certs.read('ca.crt') })).endAsync();
    gateway.config.listeners[1].tls.ca = certs.path('server.key'); // no certificate in it
    gateway.config.listeners[1].tls.client_cert = 'required';
    assert.match(await reload(), /nothing was changed/);
    await (await s.client(gateway.url.replace('ws:', 'wss:'), { protocolVersion: 4, ca: certs.read('ca.crt') })).endAsync();
    gateway.config.listeners.pop();
    await reload();
    await stays.publishAsync('t', 'still', { qos: 1 });
    await until('all', () => stays.got.length === 4);
    const told = new Promise((resolve) => stays.once('disconnect', resolve));
    gateway.process.kill('SIGTERM');
    assert.equal((await within(4000, 'DISCONNECT', told)).reasonCode, 0x8b);
});
