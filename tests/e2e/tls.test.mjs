// tls.test.mjs - TLS listeners with OpenSSL's clients (openssl s_client, Node, mosquitto_pub): versions, ciphers, session
// resumption, renegotiation, certificates that change, and what the log says to whoever has to find the fault.
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { certificates, scenario } from './lib/scenario.mjs';
import { freePort, run, until, within } from './lib/system.mjs';
import { sluice } from './lib/gateway.mjs';

const VERSIONS = ['TLSv1.2', 'TLSv1.3'];

/** A gateway with one TLS listener; `change` goes over its tls section, `rest` over the configuration. */
async function secure(s, change = {}, rest = {}) {
    const certs = await certificates();
    const port = await freePort();
    const gateway = await s.gateway({
        listeners: [{
            name: 'tls', protocol: 'mqtts', bind: '127.0.0.1', port,
            tls: {
                cert: certs.path('server.crt'), key: certs.path('server.key'), ca: certs.path('ca.crt'),
                client_cert: 'required', username_from_cert: true, ...change,
            },
        }],
        access: { anonymous: false },
        web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
        ...rest,
    });
    gateway.tlsPort = port;
    return { gateway, certs, port };
}

const speaks13 = async () => !/Mbed TLS 2\./.test((await sluice(['version'])).stdout);

/** openssl s_client with these options; its whole output. The session ends with the input. */
async function sClient(port, certs, args, input = 'Q\n') {
    const done = await run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', certs.path('ca.crt'), ...args], { input });
    return done.stdout + done.stderr;
}

/** One connection of Node's TLS; resolves with the socket once the server has answered an MQTT CONNECT. */
async function connect(port, options, clientId = 'c') {
    const socket = tls.connect({ host: '127.0.0.1', port, ...options });
    socket.on('session', (session) => (socket.ticket = session));
    const id = Buffer.from(clientId);
    const body = Buffer.concat([Buffer.from('\x00\x04MQTT\x04\x02\x00\x3c'), Buffer.from([0, id.length]), id]);
    await within(10000, 'CONNACK', new Promise((resolve, reject) => {
        socket.once('secureConnect', () => socket.write(Buffer.concat([Buffer.from([0x10, body.length]), body])));
        socket.once('data', (data) => (data[0] === 0x20 && data[3] === 0 ? resolve() : reject(new Error(`CONNACK ${data.toString('hex')}`))));
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('closed')));
    }));
    socket.on('error', () => {});
    return socket;
}

const metric = async (gateway, name) => {
    const text = (await gateway.http('/metrics')).text;
    const line = text.split('\n').find((l) => l.startsWith(`${name} `));
    assert(line, `${name} in\n${text}`);
    return Number(line.split(' ').pop());
};
const handshakes = (gateway, result) => metric(gateway, `sluice_tls_handshakes_total{result="${result}"}`);

const usernames = async (gateway) => {
    const clients = JSON.parse((await gateway.http('/api/v1/clients')).text);
    return (clients.items ?? clients).filter((c) => c.connected !== false).map((c) => c.username).sort();
};

for (const version of VERSIONS) {
    scenario(`a client comes back with a ticket, ${version}: resumed, and still who it was`, async (s) => {
        const { gateway, certs, port } = await secure(s);
        await gateway.start();
        const options = { ...certs.client(), maxVersion: version };
        const first = await connect(port, options, 'first');
        await until('a ticket', () => first.ticket);
        assert.equal(first.isSessionReused(), false);
        if (await speaks13()) assert.equal(first.getProtocol(), version);
        first.destroy();
        const again = await connect(port, { ...options, session: first.ticket }, 'again');
        assert.equal(again.isSessionReused(), true);
        assert.deepEqual(await usernames(gateway), ['device-01']);
        assert.equal(await handshakes(gateway, 'full'), 1);
        assert.equal(await handshakes(gateway, 'resumed'), 1);
        again.destroy();
        // Without its certificate, but with the ticket: that is what the ticket says it is.
        const bare = await connect(port, { ca: certs.read('ca.crt'), maxVersion: version, session: first.ticket }, 'bare');
        assert.deepEqual(await usernames(gateway), ['device-01']);
        bare.destroy();
        // And with neither: nobody.
        await assert.rejects(connect(port, { ca: certs.read('ca.crt'), maxVersion: version }, 'nobody'));
        await until('the reason', () => /the client sent no certificate, and this listener requires one/.test(gateway.allLog));
    });

    scenario(`a revoked client's ticket, ${version}: worth nothing once the list is there`, async (s) => {
        const { gateway, certs, port } = await secure(s);
        await gateway.start();
        const options = { ...certs.client('revoked'), maxVersion: version };
        const first = await connect(port, options, 'first');
        const other = await connect(port, { ...certs.client(), maxVersion: version }, 'other');
        await until('tickets', () => first.ticket && other.ticket);
        assert.deepEqual(await usernames(gateway), ['device-01', 'device-99']);
        // Nothing has changed: tickets stay good across a reload.
        gateway.process.kill('SIGHUP');
        await until('the reload', () => gateway.allLog.includes('are up to date'));
        const kept = await connect(port, { ...options, session: first.ticket }, 'kept');
        assert.equal(kept.isSessionReused(), true);
        kept.destroy();
        gateway.config.listeners[0].tls.crl = certs.path('ca.crl');
        gateway.write();
        gateway.process.kill('SIGHUP');
        await until('the second reload', () => gateway.allLog.split('are up to date').length === 3);
        assert.equal(first.destroyed, false, 'whoever is connected stays');
        await assert.rejects(connect(port, { ...options, session: first.ticket }, 'revoked'));
        await until('the reason', () => /"device-99" is revoked/.test(gateway.allLog));
        const fine = await connect(port, { ...certs.client(), maxVersion: version, session: other.ticket }, 'fine');
        assert.equal(fine.isSessionReused(), false, 'a full handshake first');
        for (const socket of [first, other, fine]) socket.destroy();
    });
}

scenario('a new server certificate with SIGHUP: the next connections see it, the others stay', async (s) => {
    const certs = await certificates();
    const file = (ext) => path.join(s.dir, `live.${ext}`);
    const put = (name) => ['crt', 'key'].forEach((ext) => copyFileSync(certs.path(`${name}.${ext}`), file(ext)));
    put('server');
    const { gateway, port } = await secure(s, { cert: file('crt'), key: file('key') });
    await gateway.start();
    const before = await connect(port, certs.client(), 'before');
    assert.equal(before.getPeerCertificate().asn1Curve, 'prime256v1');
    put('server-rsa');
    gateway.process.kill('SIGHUP');
    await until('the reload', () => gateway.allLog.includes('are up to date'));
    const after = await connect(port, certs.client(), 'after');
    assert.equal(after.getPeerCertificate().bits, 2048);
    // A file that makes no sense changes nothing, and says why.
    writeFileSync(file('crt'), 'no certificate');
    gateway.process.kill('SIGHUP');
    await until('the refusal', () => /nothing was changed: listener "tls": .*live\.crt: no certificate/.test(gateway.allLog));
    const third = await connect(port, certs.client(), 'third');
    assert.equal(third.getPeerCertificate().bits, 2048);
    before.write(Buffer.from([0xc0, 0])); // PINGREQ
    const [answer] = await within(5000, 'PINGRESP', new Promise((resolve) => before.once('data', (d) => resolve([d]))));
    assert.equal(answer.toString('hex'), 'd000');
    for (const socket of [before, after, third]) socket.destroy();
});

scenario('certificate and list in status and metrics', async (s) => {
    const certs = await certificates();
    const { gateway } = await secure(s, { crl: certs.path('ca.crl') });
    await gateway.start();
    const [listener] = (await gateway.status()).broker.listeners;
    assert.equal(listener.tls.cert_not_after, Date.UTC(2089, 11, 31, 23, 59, 59));
    assert(listener.tls.cert_days_left > 20000);
    assert(listener.tls.crl_until > Date.now());
    assert.equal(listener.tls.reload_failed, false);
    assert.equal(await metric(gateway, 'sluice_tls_certificate_expiry_timestamp_seconds{listener="tls"}'), listener.tls.cert_not_after / 1000);
    assert.equal(await metric(gateway, 'sluice_tls_crl_expiry_timestamp_seconds{listener="tls"}'), listener.tls.crl_until / 1000);
    assert.equal(await metric(gateway, 'sluice_tls_reload_failed{listener="tls"}'), 0);
});

scenario('a certificate that has expired keeps nobody else waiting: the gateway starts and says so', async (s) => {
    const certs = await certificates();
    const { gateway, port } = await secure(s, { cert: certs.path('expired.crt'), key: certs.path('expired.key') });
    await gateway.start();
    await until('the line', () => /listener "tls": its certificate expired on 2020-01-01/.test(gateway.allLog));
    await assert.rejects(connect(port, certs.client()), /expired/);
    const careless = await connect(port, { ...certs.client(), rejectUnauthorized: false });
    careless.destroy();
});

// What openssl s_client offers, and what both sides make of it. `log` is part of the gateway's line; null: it comes in.
const offers = [
    ['TLS 1.2', ['-tls1_2'], null],
    ['TLS 1.2 with ChaCha20', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305'], null],
    ['TLS 1.2 with CCM', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-CCM'], null],
    ['TLS 1.2 with a session id only', ['-tls1_2', '-no_ticket'], null],
    ['TLS 1.0 and 1.1', ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], /speaks no TLS version that is allowed here/],
    ['no cipher with forward secrecy', ['-tls1_2', '-cipher', 'AES128-SHA:AES256-GCM-SHA384'], /offers no cipher suite that is allowed here/],
    ['ciphers for an RSA certificate only', ['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256'], /offers no cipher suite that is allowed here/],
    ['no client certificate', ['-tls1_2', 'bare'], /the client sent no certificate, and this listener requires one/],
    ['a certificate of another CA', ['-tls1_2', 'other-device'], /unknown CA: the certificate of "device-01" was issued by "Some other CA"/],
    ['an expired certificate', ['-tls1_2', 'expired-device'], /"device-01" expired on 2020-01-01/],
    ['a certificate from the future', ['-tls1_2', 'future-device'], /"device-01" is not valid before 2085-01-01.*clock/],
    ['a server\'s certificate', ['-tls1_2', 'named'], /not meant for this side of a connection/],
];
for (const [name, args, log] of offers) {
    scenario(`s_client with ${name}: ${log ? 'refused, with the reason in the log' : 'let in'}`, async (s) => {
        const { gateway, certs, port } = await secure(s);
        await gateway.start();
        const own = args.find((a) => ['bare', 'other-device', 'expired-device', 'future-device', 'named'].includes(a));
        const identity = own === 'bare' ? [] : ['-cert', certs.path(`${own ?? 'device'}.crt`), '-key', certs.path(`${own ?? 'device'}.key`)];
        const said = await sClient(port, certs, [...args.filter((a) => a !== own), ...identity]);
        if (log) {
            await until('the reason', () => log.test(gateway.allLog)).catch((e) => assert.fail(`${e.message}\n${said}\n${gateway.allLog}`));
            assert.match(gateway.allLog, /TLS: .* from="127\.0\.0\.1:\d+"/);
            assert.equal(await handshakes(gateway, 'failed'), 1);
        } else {
            assert.match(said, /Verify return code: 0 \(ok\)/);
            assert.equal(await handshakes(gateway, 'full'), 1);
        }
        // In either case the next one is served.
        (await connect(port, certs.client())).destroy();
    });
}

scenario('min_version 1.3: clients that have it come in; without it in the library the reason is said at the start', async (s) => {
    const { gateway, certs, port } = await secure(s, { min_version: '1.3' });
    if (!(await speaks13())) {
        const done = await sluice(['run', '-c', gateway.file]);
        assert.equal(done.code, 1);
        assert.match(done.stderr, /listener "tls": TLS 1\.3 as the least version is not possible with Mbed TLS 2\./);
        return;
    }
    await gateway.start();
    const client = await connect(port, certs.client());
    assert.equal(client.getProtocol(), 'TLSv1.3');
    client.destroy();
    await assert.rejects(connect(port, { ...certs.client(), maxVersion: 'TLSv1.2' }));
    await until('the reason', () => /speaks no TLS version that is allowed here/.test(gateway.allLog));
});

scenario('a client that wants to renegotiate gets nothing, and disturbs nobody', async (s) => {
    const { gateway, certs, port } = await secure(s);
    await gateway.start();
    const other = await connect(port, certs.client(), 'other');
    const said = await sClient(port, certs, ['-tls1_2', '-legacy_renegotiation', '-cert', certs.path('device.crt'), '-key', certs.path('device.key')], 'R\n');
    assert.match(said, /RENEGOTIATING/);
    assert.match(said, /no renegotiation/i);
    other.write(Buffer.from([0xc0, 0]));
    await within(5000, 'PINGRESP', new Promise((resolve) => other.once('data', resolve)));
    assert.equal(await handshakes(gateway, 'full'), 2);
    other.destroy();
});

scenario('a hundred clients begin a handshake and stop: a real one is served meanwhile', async (s) => {
    const { gateway, certs, port } = await secure(s);
    await gateway.start();
    const hello = await new Promise((resolve) => { // of a real client, recorded
        const server = net.createServer((c) => c.on('error', () => {}).once('data', (d) => (resolve(d), c.destroy(), server.close())));
        server.listen(0, '127.0.0.1', () => tls.connect({ host: '127.0.0.1', port: server.address().port }).on('error', () => {}));
    });
    const sockets = Array.from({ length: 100 }, (_, i) => net.connect(port, '127.0.0.1', function () {
        this.write(i % 2 ? hello : hello.subarray(0, 50));
    }).on('error', () => {}));
    s.defer(() => sockets.forEach((socket) => socket.destroy()));
    const client = await connect(port, certs.client());
    assert.deepEqual(await usernames(gateway), ['device-01']);
    client.destroy();
});

scenario('mosquitto_pub with an optional certificate: by name with one, by password without', async (s) => {
    const { gateway, certs, port } = await secure(s, { client_cert: 'optional' }, { access: { anonymous: false, users_file: 'users' } });
    writeFileSync(path.join(gateway.dir, 'users'), '');
    await sluice(['user', 'add', 'anna', '-c', gateway.file], { input: 'pass word\n' });
    await gateway.start();
    const base = ['-h', 'localhost', '-p', String(port), '--cafile', certs.path('ca.crt'), '-q', '1', '-t', 't', '-m', 'x'];
    const as = (name) => ['--cert', certs.path(`${name}.crt`), '--key', certs.path(`${name}.key`)];
    assert.equal((await run('mosquitto_pub', [...base, ...as('device')])).code, 0);
    assert.equal((await run('mosquitto_pub', [...base, '-u', 'anna', '-P', 'pass word'])).code, 0);
    assert.notEqual((await run('mosquitto_pub', base)).code, 0, 'with neither');
    assert.notEqual((await run('mosquitto_pub', [...base, ...as('other-device'), '-u', 'anna', '-P', 'pass word'])).code, 0,
        'a bad certificate is refused even with a good password');
    assert.notEqual((await run('mosquitto_pub', [...base, ...as('nameless')])).code, 0, 'a certificate without a common name is nobody');
    await until('the reason', () => /certificate has no common name that could be a user name/.test(gateway.allLog));
});
