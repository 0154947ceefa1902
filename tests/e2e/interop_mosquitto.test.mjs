// interop_mosquitto.test.mjs - mosquitto_pub and mosquitto_sub with every option that shows on the wire.
import assert from 'node:assert/strict';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { everyListener } from './lib/listeners.mjs';
import { scenario } from './lib/scenario.mjs';
import { freePort, run, start, until } from './lib/system.mjs';

const VERSIONS = ['mqttv31', 'mqttv311', 'mqttv5'];

/** How the two programs reach each listener that they can. */
const ways = (gateway) => ({
    tcp: ['-h', '127.0.0.1', '-p', String(gateway.ports.tcp)],
    tls: ['-h', 'localhost', '-p', String(gateway.ports.tls), '--cafile', gateway.certs.path('ca.crt')],
    unix: ['--unix', gateway.socket],
});

/** mosquitto_sub, subscribed when this resolves; `lines` is what it printed so far. */
async function background(s, gateway, args) {
    const subscriptions = async () => (await gateway.status()).broker.subscriptions;
    const before = await subscriptions();
    const child = start('mosquitto_sub', args);
    s.defer(() => child.over || (child.kill('SIGKILL'), child.exited));
    Object.defineProperty(child, 'lines', { get: () => child.log.split('\n').slice(0, -1) });
    await until('subscribed', async () => (await subscriptions()) > before);
    return child;
}

/** The two programs on one way and version. */
function tools(s, gateway, way, version) {
    const base = [...ways(gateway)[way], '-V', version];
    return {
        pub: async (...args) => {
            const done = await run('mosquitto_pub', [...base, ...args]);
            assert.equal(done.code, 0, `${args.join(' ')}: ${done.stderr}`);
            return done;
        },
        tryPub: (...args) => run('mosquitto_pub', [...base, ...args]),
        /** To its end. */
        subOnce: (...args) => run('mosquitto_sub', [...base, ...args]),
        /** In the background, subscribed when this resolves. */
        sub: async (...args) => {
            return background(s, gateway, [...base, ...args]);
        },
    };
}

for (const version of VERSIONS)
    scenario(`mosquitto's programs, ${version}, over TCP, TLS and a Unix socket`, async (s, t) => {
        const gateway = await everyListener(s);
        await gateway.start();
        for (const way of ['tcp', 'tls', 'unix']) {
            const { pub, sub, subOnce } = tools(s, gateway, way, version);
            const topic = `${way}/t`;
            await t.test(`${way}: -q 0, 1, 2`, async () => {
                const child = await sub('-q', '2', '-t', `${topic}/#`, '-F', '%t %q %r %p', '-C', '3');
                for (const qos of ['0', '1', '2']) await pub('-q', qos, '-t', `${topic}/${qos}`, '-m', `m${qos}`);
                await child.exited;
                assert.deepEqual(child.lines, ['0', '1', '2'].map((qos) => `${topic}/${qos} ${qos} 0 m${qos}`));
            });
            await t.test(`${way}: -r, -n, -R, --retained-only, --remove-retained`, async () => {
                await pub('-r', '-q', '1', '-t', `${topic}/kept`, '-m', 'kept');
                const kept = await subOnce('-t', `${topic}/kept`, '-C', '1', '-W', '5', '-F', '%r %p');
                assert.equal(kept.stdout, '1 kept\n');
                const only = await subOnce('-t', `${topic}/kept`, '--retained-only', '-C', '1', '-W', '5');
                assert.equal(only.stdout, 'kept\n');
                const child = await sub('-t', `${topic}/kept`, '-R', '-C', '1');
                await pub('-r', '-q', '1', '-t', `${topic}/kept`, '-m', 'live');
                await child.exited;
                assert.deepEqual(child.lines, ['live']);
                await pub('-r', '-q', '1', '-t', `${topic}/kept`, '-n');
                await pub('-r', '-q', '1', '-t', `${topic}/kept2`, '-m', 'x');
                await subOnce('-t', `${topic}/kept2`, '--remove-retained', '-C', '1', '-W', '5');
                const none = await subOnce('-t', `${topic}/+`, '-W', '1');
                assert.equal(none.stdout, '');
            });
            await t.test(`${way}: -l, -s, -f, --repeat, large and empty payloads`, async () => {
                const child = await sub('-q', '1', '-t', `${topic}/in`, '-F', '%l', '-C', '1005');
                await pub('-q', '1', '-t', `${topic}/in`, '-n');
                const lines = await run('mosquitto_pub', [...ways(gateway)[way], '-V', version, '-q', '1', '-t', `${topic}/in`, '-l'],
                    { input: Array.from({ length: 1000 }, (unused, n) => `line ${n}\n`).join('') });
                assert.equal(lines.code, 0, lines.stderr);
                const file = path.join(s.dir, 'large');
                writeFileSync(file, Buffer.alloc(200 * 1024, 'z'));
                await pub('-q', '1', '-t', `${topic}/in`, '-f', file);
                await run('mosquitto_pub', [...ways(gateway)[way], '-V', version, '-q', '1', '-t', `${topic}/in`, '-s'], { input: 'a\nb' });
                await pub('-q', '2', '-t', `${topic}/in`, '-m', 'again', '--repeat', '2', '--repeat-delay', '0');
                await child.exited;
                const sizes = Array.from({ length: 1000 }, (unused, n) => String(`line ${n}`.length));
                assert.deepEqual(child.lines, ['0', ...sizes, String(200 * 1024), '3', '5', '5']);
            });
            await t.test(`${way}: -c and -i, -E, -U`, async () => {
                const session = ['-i', `${way}-id`, '-c', ...(version === 'mqttv5' ? ['-x', '600'] : [])];
                assert.equal((await subOnce(...session, '-q', '1', '-t', `${topic}/a`, '-t', `${topic}/b`, '-E')).code, 0);
                for (const n of [1, 2, 3]) await pub('-q', '1', '-t', `${topic}/a`, '-m', `away ${n}`);
                const back = await subOnce(...session, '-q', '1', '-t', `${topic}/b`, '-U', `${topic}/a`, '-W', '1'); // with -C it goes before it acknowledges the last
                assert.equal(back.stdout, 'away 1\naway 2\naway 3\n');
                await pub('-q', '1', '-t', `${topic}/a`, '-m', 'not any more');
                await pub('-q', '1', '-t', `${topic}/b`, '-m', 'this one');
                const last = await subOnce(...session, '-q', '1', '-t', `${topic}/b`, '-C', '1', '-W', '5');
                assert.equal(last.stdout, 'this one\n');
                const clean = await subOnce('-i', `${way}-id`, '-t', `${topic}/c`, '-W', '1'); // ends the session
                assert.equal(clean.stdout, '');
            });
            await t.test(`${way}: --will-*`, async () => {
                const watcher = await sub('-q', '2', '-t', `${topic}/will`, '-F', '%q %r %p', '-C', '1');
                const dying = await sub('-t', 'x', '-i', `${way}-will`, '--will-topic', `${topic}/will`, '--will-payload', 'gone', '--will-qos', '2', '--will-retain');
                dying.kill('SIGKILL');
                await watcher.exited;
                assert.deepEqual(watcher.lines, ['2 0 gone']);
                assert.equal((await subOnce('-t', `${topic}/will`, '-C', '1', '-W', '5', '-F', '%r %p')).stdout, '1 gone\n');
            });
            await t.test(`${way}: -T, -v, -N, -k, -W`, async () => {
                const child = await sub('-v', '-t', `${topic}/f/#`, '-T', `${topic}/f/no`, '-k', '5', '-C', '1');
                await pub('-q', '1', '-t', `${topic}/f/no`, '-m', 'x');
                await pub('-q', '1', '-t', `${topic}/f/yes`, '-m', 'y');
                await child.exited;
                assert.deepEqual(child.lines, [`${topic}/f/yes y`]);
                assert.equal((await subOnce('-t', `${topic}/nothing`, '-W', '1')).code, 27, 'timed out');
            });
        }
        await t.test('-L', async () => {
            const url = `mqtt://127.0.0.1:${gateway.ports.tcp}/by/url`;
            const child = await background(s, gateway, ['-L', url, '-V', version, '-C', '1', '-q', '1']);
            assert.equal((await run('mosquitto_pub', ['-L', url, '-V', version, '-q', '1', '-m', 'u'])).code, 0);
            await child.exited;
            assert.deepEqual(child.lines, ['u']);
        });
    });

scenario('MQTT 5 properties of every kind, and options that only version 5 has', async (s) => {
    const gateway = await everyListener(s);
    await gateway.start();
    const { pub, tryPub, sub } = tools(s, gateway, 'tcp', 'mqttv5');
    const child = await sub('-q', '1', '-t', 'p/#', '-C', '1', '-F', '%A|%C|%D|%E|%F|%P|%R|%S|%t|%p',
        '-D', 'connect', 'receive-maximum', '5', '-D', 'connect', 'maximum-packet-size', '2000', '-D', 'connect', 'topic-alias-maximum', '0',
        '-D', 'connect', 'request-problem-information', '1', '-D', 'connect', 'request-response-information', '1',
        '-D', 'connect', 'user-property', 'who', 'me', '-D', 'subscribe', 'subscription-identifier', '77',
        '-D', 'subscribe', 'user-property', 'k', 'v');
    await pub('-q', '1', '-t', 'p/x', '-m', 'x'.repeat(3000)); // larger than it takes
    await pub('-q', '1', '-t', 'p/x', '-m', 'hello',
        '-D', 'publish', 'content-type', 'text/plain', '-D', 'publish', 'correlation-data', 'c0rr', '-D', 'publish', 'message-expiry-interval', '100',
        '-D', 'publish', 'payload-format-indicator', '1', '-D', 'publish', 'response-topic', 'answer/to',
        '-D', 'publish', 'user-property', 'a', 'b', '-D', 'publish', 'user-property', 'a', 'c',
        '-D', 'disconnect', 'user-property', 'bye', 'bye');
    await child.exited;
    assert.match(child.lines[0], /^\|text\/plain\|c0rr\|(100|99)\|1\|a:b a:c\|answer\/to\|77\|p\/x\|hello$/);
    // An alias by hand, retain as published, session expiry.
    await pub('-q', '1', '-t', 'alias', '-m', 'one', '-D', 'publish', 'topic-alias', '3', '--repeat', '3', '--repeat-delay', '0', '-r');
    const asPublished = await sub('-q', '1', '-t', 'alias', '--retain-as-published', '-C', '2', '-F', '%r %p');
    await pub('-q', '1', '-r', '-t', 'alias', '-m', 'two');
    await asPublished.exited;
    assert.deepEqual(asPublished.lines, ['1 one', '1 two']);
    const will = await sub('-q', '1', '-t', 'will5', '-C', '1', '-F', '%C|%D|%F|%P|%R|%p');
    const dying = await sub('-t', 'x', '-x', '60', '-c', '-i', 'dying', '--will-topic', 'will5', '--will-payload', 'w',
        '-D', 'will', 'content-type', 't', '-D', 'will', 'correlation-data', 'd', '-D', 'will', 'payload-format-indicator', '1',
        '-D', 'will', 'response-topic', 'r', '-D', 'will', 'user-property', 'u', 'v', '-D', 'will', 'will-delay-interval', '1',
        '-D', 'will', 'message-expiry-interval', '30');
    const began = performance.now();
    dying.kill('SIGKILL');
    await will.exited;
    assert(performance.now() - began > 900, 'the will was delayed');
    assert.deepEqual(will.lines, ['t|d|1|u:v|r|w']);
    const clash = await tryPub('-q', '1', '-t', 'a', '-m', 'x', '-D', 'publish', 'topic-alias', '9999');
    assert.notEqual(clash.code, 0, 'an alias above topic_alias_max');
});

scenario('mutual TLS with --cert and --key', async (s) => {
    const gateway = await everyListener(s);
    const certs = gateway.certs;
    gateway.config.listeners[1].tls = { ...gateway.config.listeners[1].tls, ca: certs.path('ca.crt'), client_cert: 'required', username_from_cert: true };
    gateway.write();
    await gateway.start();
    const { tryPub } = tools(s, gateway, 'tls', 'mqttv311');
    const own = ['--cert', certs.path('device.crt'), '--key', certs.path('device.key'), '-q', '1', '-t', 'x', '-m', 'x'];
    assert.equal((await tryPub(...own)).code, 0);
    assert.equal((await tryPub(...own, '--tls-version', 'tlsv1.2')).code, 0);
    assert.notEqual((await tryPub('-q', '1', '-t', 'x', '-m', 'x')).code, 0);
});

scenario('Unix sockets: left behind, in use, and who may open them', async (s) => {
    const gateway = await s.gateway({ listeners: [{ name: 'local', protocol: 'mqtt', unix: 'mqtt.sock' }] });
    const socket = path.join(gateway.dir, 'mqtt.sock');
    await gateway.start();
    assert.equal(statSync(socket).mode & 0o777, 0o777, 'access is the broker\'s matter');
    const publish = () => run('mosquitto_pub', ['--unix', socket, '-q', '1', '-t', 't', '-m', 'x']);
    assert.equal((await publish()).code, 0);
    await gateway.kill(); // the socket's file stays
    assert(statSync(socket).isSocket());
    await gateway.start();
    assert.equal((await publish()).code, 0);
    const second = await s.gateway({ listeners: [{ name: 'local', protocol: 'mqtt', unix: socket }] });
    const failed = second.spawn();
    assert.equal((await failed.exited).code, 1, 'a second gateway does not take it over');
    assert.match(failed.log, /cannot listen on/);
    assert.equal((await publish()).code, 0);
    await gateway.stop();
    assert.throws(() => statSync(socket), 'removed at the end');
    chmodSync(gateway.dir, 0o755);
});

const hasIpv6 = await new Promise((resolve) => {
    const server = net.createServer().on('error', () => resolve(false));
    server.listen(0, '::1', () => server.close(() => resolve(true)));
});

scenario('IPv6: ::1, and :: beside 0.0.0.0 on the same port', { skip: !hasIpv6 && 'there is no IPv6' }, async (s) => {
    const publish = (host, port) => run('mosquitto_pub', ['-h', host, '-p', String(port), '-q', '1', '-t', 't', '-m', 'x']);
    const port = await freePort();
    const access = { anonymous: true };
    for (const [binds, reachable] of [[['::1'], ['::1']], [['::'], ['::1', '127.0.0.1']], [['0.0.0.0', '::'], ['::1', '127.0.0.1']], [['::', '127.0.0.1'], ['::1', '127.0.0.1']]]) {
        const gateway = await s.gateway({ listeners: binds.map((bind, n) => ({ name: `l${n}`, protocol: 'mqtt', bind, port })), access });
        gateway.spawn();
        await until('it listens', () => gateway.process.over || gateway.process.log.includes('is ready after'));
        assert(!gateway.process.over, gateway.process.log);
        for (const host of ['::1', '127.0.0.1'])
            assert.equal((await publish(host, port)).code === 0, reachable.includes(host), `${binds}: ${host}`);
        await gateway.stop();
    }
});
