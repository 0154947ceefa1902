// access.test.mjs - who may connect and what to: access lists, users files, slowed logins, with Mosquitto's own tools.
import assert from 'node:assert/strict';
import { pbkdf2Sync } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { scenario } from './lib/scenario.mjs';
import { freePort, run, until } from './lib/system.mjs';

/** A users file made by mosquitto_passwd: names are their own passwords, backwards. */
const password = (name) => [...name].reverse().join('');
async function usersFile(dir, ...names) {
    const file = path.join(dir, 'users');
    writeFileSync(file, '');
    chmodSync(file, 0o600);
    for (const name of names) {
        const done = await run('mosquitto_passwd', ['-b', file, name, password(name)]);
        assert.equal(done.code, 0, done.stderr);
    }
    return file;
}
const as = (name) => ['-u', name, '-P', password(name)];
const login = (name) => ({ username: name, password: password(name) });

const acl = [
    { deny: ['private/#'] },
    { user: 'sensor-*', publish: ['sensors/%u/#', 'by-id/%c'], subscribe: ['cmd/%u/#'] },
    { user: 'dashboard', subscribe: ['#', '$SYS/#'] },
    { user: 'admin', publish: ['#'] },
    { anonymous: true, publish: ['open/#'] },
];

async function withUsers(s, config = {}) {
    const gateway = await s.gateway({
        access: { anonymous: true, users_file: 'users', acl },
        web: { port: await freePort(), anonymous: 'read' },
        ...config,
    });
    await usersFile(gateway.dir, 'sensor-1', 'sensor-2', 'dashboard', 'admin');
    await gateway.start();
    return gateway;
}

const metric = async (gateway, name) => {
    const { text } = await gateway.http('/metrics');
    const line = text.split('\n').find((one) => one.startsWith(`${name} `));
    assert(line, `${name} is a metric`);
    return Number(line.split(' ')[1]);
};

for (const version of ['mqttv311', 'mqttv5'])
    scenario(`what the list allows and what it does not, ${version}`, async (s) => {
        const gateway = await withUsers(s);
        const all = s.sub(gateway, '-V', version, ...as('dashboard'), '-v', '-t', '#');
        const commands = s.sub(gateway, '-V', version, ...as('sensor-1'), '-v', '-t', 'cmd/sensor-1/#');
        await until('both have subscribed', async () => (await gateway.status()).broker.subscriptions === 2);
        const publish = (name, topic, ...more) =>
            s.pub(gateway, '-V', version, ...(name ? as(name) : []), '-q', '1', '-t', topic, '-m', 'x', ...more);

        for (const [name, topic, ...more] of [
            ['sensor-1', 'sensors/sensor-1/t'], ['sensor-1', 'sensors/sensor-2/t'], ['sensor-2', 'sensors/sensor-2'],
            ['sensor-1', 'by-id/me', '-i', 'me'], ['sensor-1', 'by-id/me', '-i', 'you'], ['sensor-1', 'by-id/+', '-i', '#'],
            ['admin', 'cmd/sensor-1/on'], ['admin', 'private/x'], ['dashboard', 'x'], [null, 'open/a'], [null, 'sensors/a'],
            ['admin', 'last'],
        ]) await publish(name, topic, ...more);
        await until('the last one', () => all.lines.includes('last x'));
        assert.deepEqual(all.lines, ['sensors/sensor-1/t x', 'sensors/sensor-2 x', 'by-id/me x', 'cmd/sensor-1/on x',
            'open/a x', 'last x']);
        assert.deepEqual(commands.lines, ['cmd/sensor-1/on x']);

        const refused = s.sub(gateway, '-V', version, ...as('sensor-1'), '-t', 'cmd/#');
        await refused.exited; // 0: it was told, and has nothing to wait for
        assert.match(refused.log, /denied|not authori[sz]ed|rejected/i);
        const sys = s.sub(gateway, '-V', version, ...as('dashboard'), '-C', '1', '-t', '$SYS/broker/version');
        await sys.exited;
        assert.match(sys.log, /sluice version/);
        assert((await metric(gateway, 'sluice_messages_dropped_total{reason="denied"}')) >= 4);
    });

scenario('MQTT 5 clients are told why', async (s) => {
    const gateway = await withUsers(s);
    const client = await s.client(gateway, { protocolVersion: 5, ...login('sensor-1') });
    await assert.rejects(client.publishAsync('sensors/sensor-2/t', 'x', { qos: 1 }), (error) => error.code === 0x87);
    const [granted] = await client.subscribeAsync('cmd/sensor-1/#', { qos: 1 });
    assert.equal(granted.qos, 1);
    await assert.rejects(client.subscribeAsync('#', { qos: 1 }));
    await assert.rejects(
        s.client(gateway, { protocolVersion: 5, ...login('sensor-1'), will: { topic: 'sensors/sensor-2/will', payload: 'x' } }),
        (error) => error.code === 0x87,
    );
    await s.client(gateway, { protocolVersion: 5, ...login('sensor-1'), will: { topic: 'sensors/sensor-1/will', payload: 'x' } });
});

scenario('SIGHUP: the list, the users and anonymous take effect on those who are connected', async (s) => {
    const gateway = await withUsers(s);
    const open = (options) => s.client(gateway, { protocolVersion: 5, ...options });
    const nameless = await open({});
    const one = await open(login('sensor-1'));
    const two = await open(login('sensor-2'));
    const dashboard = await open(login('dashboard'));
    const left = new Map();
    for (const [name, client] of Object.entries({ nameless, one, two, dashboard }))
        client.on('disconnect', (packet) => left.set(name, packet.reasonCode));
    await dashboard.subscribeAsync('#');
    await one.publishAsync('sensors/sensor-1/a', '1', { qos: 1 });
    await until('the first', () => dashboard.got.length === 1);

    gateway.config.access.anonymous = false;
    gateway.config.access.acl = [{ user: 'dashboard', deny: ['sensors/sensor-1/secret'] }, ...acl];
    gateway.write();
    await usersFile(gateway.dir, 'nobody'); // a new file: sensor-2 is gone, the others have new salts
    const users = readFileSync(path.join(gateway.dir, 'users'), 'utf8');
    assert(!users.includes('sensor-2'));
    gateway.process.kill('SIGHUP');
    await until('all are sent away', () => left.size === 4);
    assert.deepEqual(Object.fromEntries(left), { nameless: 0x87, one: 0x98, two: 0x98, dashboard: 0x98 });
    await assert.rejects(open(login('sensor-1')));
});

scenario('SIGHUP: who may stay stays, with the new rights', async (s) => {
    const gateway = await withUsers(s);
    const one = await s.client(gateway, { protocolVersion: 5, ...login('sensor-1') });
    const dashboard = await s.client(gateway, { protocolVersion: 5, ...login('dashboard') });
    await dashboard.subscribeAsync('sensors/#', { qos: 1 });
    await one.publishAsync('sensors/sensor-1/secret', '1', { qos: 1 });
    await until('the first', () => dashboard.got.length === 1);
    const reload = async (entries) => {
        const times = gateway.allLog.split('are up to date').length;
        gateway.config.access.acl = entries;
        gateway.write();
        gateway.process.kill('SIGHUP');
        await until('the new list', () => gateway.allLog.split('are up to date').length > times);
    };
    await reload([{ user: 'dashboard', deny: ['+/+/secret'] }, ...acl]);
    await one.publishAsync('sensors/sensor-1/secret', '2', { qos: 1 });
    await one.publishAsync('sensors/sensor-1/open', '3', { qos: 1 });
    await until('what is not denied', () => dashboard.got.length === 2);
    assert.deepEqual(dashboard.got.map(([topic, text]) => [topic, text]),
        [['sensors/sensor-1/secret', '1'], ['sensors/sensor-1/open', '3']]);
    await reload(acl.slice(2));
    await assert.rejects(one.publishAsync('sensors/sensor-1/open', '4', { qos: 1 }), (error) => error.code === 0x87);
    delete gateway.config.access.acl;
    await reload(undefined);
    await one.publishAsync('private/x', '5', { qos: 1 });
    assert(one.connected && dashboard.connected);
});

scenario('failed logins are slowed, and only for their address', async (s) => {
    const gateway = await withUsers(s);
    const tryLogin = (name, secret, from = '127.0.0.1') => new Promise((resolve) => {
        const began = performance.now();
        const text = (value) => { const b = Buffer.from(value); return Buffer.concat([Buffer.from([b.length >> 8, b.length & 255]), b]); };
        const body = Buffer.concat([Buffer.from([0, 4, 77, 81, 84, 84, 4, 0xc2, 0, 60]), text('c'), text(name), text(secret)]);
        const socket = net.connect({ port: gateway.port, host: '127.0.0.1', localAddress: from });
        let answer;
        socket.on('error', () => {}).on('close', () => resolve({ answer, ms: performance.now() - began }));
        socket.on('data', (bytes) => { answer = bytes[3]; if (answer === 0) socket.end(); });
        socket.write(Buffer.concat([Buffer.from([0x10, body.length]), body]));
    });
    for (const wait of [0, 250, 500, 1000]) {
        const { answer, ms } = await tryLogin('admin', 'wrong');
        assert.equal(answer, 4);
        assert(ms >= wait * 0.95, `${ms} ms, at least ${wait}`);
    }
    const other = await tryLogin('admin', password('admin'), '127.0.0.2');
    assert.equal(other.answer, 0);
    assert(other.ms < 1000, `another address waits ${other.ms} ms`);
    const many = await Promise.all(Array.from({ length: 12 }, () => tryLogin('admin', 'wrong')));
    const counts = [3, 4].map((code) => many.filter(({ answer }) => answer === code).length);
    assert.deepEqual(counts, [8, 4], 'four of an address may wait, the others are told to come back');
    assert.equal(await metric(gateway, 'sluice_logins_failed_total'), 8);
    assert.equal(await metric(gateway, 'sluice_logins_refused_total'), 8);
    assert.equal(await metric(gateway, 'sluice_connections_refused_total{reason="busy"}'), 8);
    assert.equal(await metric(gateway, 'sluice_connections_refused_total{reason="login"}'), 8);
    assert((await metric(gateway, 'sluice_logins_delayed_total')) >= 7);
    const right = await tryLogin('admin', password('admin')); // waits, and then all is forgotten
    assert.equal(right.answer, 0);
    const again = await tryLogin('admin', password('admin'));
    assert(again.ms < 1000, `after a success ${again.ms} ms`);
});

scenario('a page password that takes long to check keeps nobody waiting but whoever gave it', async (s) => {
    const salt = Buffer.alloc(12, 7);
    const line = (name, password, iterations) =>
        `${name}:$7$${iterations}$${salt.toString('base64')}$${pbkdf2Sync(password, salt, iterations, 64, 'sha512').toString('base64')}\n`;
    const gateway = await s.gateway({ web: { port: await freePort(), users_file: 'page-users', anonymous: 'none' } });
    writeFileSync(path.join(gateway.dir, 'page-users'), line('ada', 'slow', 700000) + line('bob', 'fast', 20000), { mode: 0o600 });
    gateway.write();
    await gateway.start();
    const ask = (password, name = 'ada', from = '127.0.0.1') => new Promise((resolve, reject) => {
        http.get({ host: '127.0.0.1', port: gateway.config.web.port, localAddress: from, path: '/api/v1/status', auth: `${name}:${password}` },
            (res) => res.resume().on('end', () => resolve(res.statusCode))).on('error', reject);
    });
    const pub = await s.client(gateway);
    for (const [password, status] of [['slow', 200], ['guess', 401]]) {
        let answered = false, trips = 0;
        const answer = ask(password).finally(() => (answered = true));
        while (!answered) {
            await pub.publishAsync('a', 'b', { qos: 1 });
            if (!answered) trips++;
        }
        assert.equal(await answer, status);
        assert(trips >= 20, `${trips} round trips while a password was checked`);
    }
    assert.equal(await ask('slow'), 200, 'known, though its address has to wait');
    assert.equal(await ask('guess'), 429);
    const many = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(`guess${i}`, 'bob', `127.0.0.${2 + i}`)));
    assert(many.every((status) => status === 429 || status === 401) && many.includes(401) && many.includes(429), `eight at a time: ${many}`);
});

scenario('many log in at once with the right password', async (s) => {
    const gateway = await withUsers(s, { broker: { connect_rate: 10000 } });
    const clients = await Promise.all(Array.from({ length: 100 }, (_, i) =>
        s.client(gateway, { ...login(i % 2 ? 'sensor-1' : 'admin'), clientId: `c${i}` })));
    assert(clients.every((client) => client.connected));
});

scenario('connections from one address are bounded', async (s) => {
    const gateway = await s.gateway({
        broker: { max_connections_per_address: 3, max_unfinished_connections: 4, connect_rate: 1000 },
        web: { port: await freePort(), anonymous: 'read' },
    });
    await gateway.start();
    await until('the test of the port has gone', async () => (await metric(gateway, 'sluice_connections_unfinished')) === 0);
    const clients = [];
    for (let i = 0; i < 3; i++) clients.push(await s.client(gateway, { clientId: `c${i}` }));
    await assert.rejects(s.client(gateway, { clientId: 'more' }));
    const far = net.connect({ port: gateway.port, host: '127.0.0.1', localAddress: '127.0.0.3' });
    s.defer(() => far.destroy());
    await until('one from elsewhere', async () => (await metric(gateway, 'sluice_connections_unfinished')) === 1);
    await clients[0].endAsync();
    await until('its end is known', async () => (await metric(gateway, 'sluice_clients')) === 2);
    await s.client(gateway, { clientId: 'now' });
    assert((await metric(gateway, 'sluice_connections_refused_total{reason="address"}')) >= 1);
    assert.match(gateway.allLog, /connection refused: as many connections from its address/);
});
