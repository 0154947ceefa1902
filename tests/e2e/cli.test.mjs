// cli.test.mjs - the command line: help, errors, check, users, rules, simulated sensors, status.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sluice } from './lib/gateway.mjs';
import { scenario } from './lib/scenario.mjs';
import { freePort, run, until } from './lib/system.mjs';

const ok = (done) => (assert.equal(done.code, 0, `${done.stdout}${done.stderr}`), done);
const lines = (text) => text.split('\n').filter(Boolean);

scenario('every command has --help', async () => {
    const commands = ['', 'run', 'check', 'rule', 'rule test', 'user', 'user add', 'user remove', 'user list', 'queue',
        'queue list', 'queue export', 'queue purge', 'plan', 'status', 'simulate', 'version'];
    for (const command of commands) {
        const done = ok(await sluice([...command.split(' ').filter(Boolean), '--help']));
        assert.match(done.stdout, /^usage: sluice/i, command);
        assert(done.stdout.includes('sluice ' + command.split(' ')[0]) || command === '', command);
        assert.equal(done.stderr, '', command);
    }
});

scenario('mistakes on the command line are one line on standard error, and exit 2', async (s) => {
    const gateway = await s.gateway();
    const cases = [
        [], ['frobnicate'], ['--frobnicate'], ['run', '--frobnicate'], ['run', 'extra'], ['run', '-c'], ['check', '-x'],
        ['queue'], ['queue', 'frobnicate'], ['queue', 'list', '--lane', 'slow'], ['queue', 'list', '--limit', '-3'],
        ['queue', 'list', '--limit', 'many'], ['plan', '--sensors', '0'], ['plan', '--interval', '5'], ['plan', '--keep', '-1'], ['plan', '--keep', '0'],
        ['plan', '--keep', '0x10'], ['plan', '--price-messages', 'much'], ['plan', '--endurance', '0'], ['plan', 'extra'],
        ['rule', 'test'], ['rule', 'frobnicate'], ['user'], ['user', 'add'],
        ['status', '--frobnicate'], ['simulate', '--sensors', 'x'], ['simulate', '--interval', '5 parsecs'],
        ['simulate', '--port', '70000'], ['version', 'extra'],
    ];
    for (const args of cases) {
        const done = await sluice(args, { env: { ...process.env, SLUICE_CONFIG: gateway.file } });
        assert.equal(done.code, 2, `${args.join(' ')}: ${done.stderr}`);
        assert.equal(done.stdout, '', args.join(' '));
        assert.equal(lines(done.stderr).length, 1, `${args.join(' ')}: ${done.stderr}`);
    }
});

scenario('a configuration that cannot be read: what, which file, what to do; check and run say the same', async (s) => {
    const gateway = await s.gateway();
    const file = (name, content, mode) => {
        const at = path.join(gateway.dir, name);
        writeFileSync(at, content, { mode });
        return at;
    };
    const cases = [
        [path.join(gateway.dir, 'none.json'), /: there is no such file: name the configuration with -c FILE or in \$SLUICE_CONFIG$/],
        [gateway.dir, /: is a folder: name the configuration file itself, with -c FILE or in \$SLUICE_CONFIG$/],
        [file('empty.json', ''), /:1:1: \(file\): the file is empty: a configuration is at least \{\}, which sets nothing$/],
        [file('secret.json', '{}', 0o600), /: this user may not read it: give it the right \(chmod, chown\), or run as one who has$/, 65534],
    ];
    for (const [at, says, uid] of cases) {
        if (uid && process.getuid() !== 0) continue; // nobody else to be
        for (let dir = gateway.dir; uid && dir.length > os.tmpdir().length; dir = path.dirname(dir)) chmodSync(dir, 0o755);
        const options = { cwd: '/', ...(uid && { uid, gid: uid }) };
        const check = await sluice(['check', '-c', at], options);
        assert.equal(check.code, 1, at);
        assert.equal(check.stderr, '');
        const [line, ...more] = lines(check.stdout);
        assert.deepEqual(more, []);
        assert(line.startsWith(`${at}:`) && says.test(line), line);
        const run = await sluice(['run', '-c', at], options);
        assert.equal(run.code, 1, at);
        assert.equal(run.stderr, `${line}\nsluice run: not started\n`);
        assert.equal(run.stdout, '');
    }
    const env = { ...process.env, SLUICE_CONFIG: cases[0][0] };
    assert.match((await sluice(['check'], { env })).stdout, /none\.json: there is no such file/);
    assert.match((await sluice(['plan'], { env })).stderr, /none\.json: there is no such file/);
});

scenario('a plan asks no gateway, and follows the configuration', async (s) => {
    const gateway = await s.gateway({ store: { max_bytes: '216MiB', max_age: '30d' } });
    const plan = async (...args) => JSON.parse(ok(await gateway.sluice('plan', '--json', ...args)).stdout);
    const one = await plan('--sensors', '100', '--interval', '1s', '--offline', '1h');
    assert.deepEqual([one.messages_per_second, one.store.row_bytes, one.store.backlog, one.store.lost], [100, 216, 360000, 0]);
    assert.equal(one.store.capacity, 1024 * 1024);
    assert.equal(one.store.bound, 'store.max_bytes');
    const two = await plan('--sensors', '100', '--interval', '1s', '--offline', '12h', '--keep', '0.5', '--price-messages', '2');
    assert.equal(two.messages_per_second, 50);
    assert.equal(two.store.backlog + two.store.lost, 12 * 3600 * 50);
    assert(Math.abs(two.month.messages_usd - one.month.messages_usd) < 0.01, 'half as many at twice the price');
    const text = ok(await gateway.sluice('plan')).stdout;
    for (const word of ['load', 'store', 'drain', 'cloud', 'flash', 'USD a month']) assert(text.includes(word), text);
    gateway.config.cloud = { type: 'mqtt', endpoint: 'x', ca: 'not/here.pem', limits: { publishes_per_second: 7 } };
    gateway.write();
    const there = await gateway.sluice('plan', '--json');
    assert.equal(JSON.parse(ok(there).stdout).drain.messages_per_second, 7);
    assert.match(there.stderr, /has errors: `sluice check` lists them\n$/);
});

scenario('ten mistakes in a configuration are ten lines, each with its line and column', async (s) => {
    const mistakes = [
        '{ // comments and trailing commas are allowed',
        '  "gateway": { "id": "barn-01", "data_dri": "data" },', // unknown key
        '  "log": { "level": "loud" },', // none of the words
        '  "listeners": [',
        '    { "name": "lan", "protocol": "mqtt", "bind": "0.0.0.0", "port": 70000 },', // out of range
        '    { "name": "tls", "protocol": "mqtts", "bind": "127.0.0.1", "port": 8883 },', // no tls
        '  ],',
        '  "access": { "anonymous": "yes" },', // not a boolean
        '  "broker": { "max_packet_size": "256 bananas" },', // not a size
        '  "rules": [',
        '    { "name": "hot", "sql": "SELECT temp FORM \'site/#\'", "to": [ { "cloud": "t" } ] },', // SQL
        '    { "name": "cold", "sql": "SELECT * FROM \'site/#\'", "to": [ { "cloud": "t", "lane": "slow" } ] },', // lane
        '  ],',
        '  "store": { "spill_after": "5 parsecs" },', // not a duration
        '  "cloud": { "type": "mqtt", "endpoint": "localhost", "client_id": "x", "keep_alive": 60, },', // needs a unit
        '}',
    ];
    const file = path.join(s.dir, 'ten.json');
    writeFileSync(file, mistakes.join('\n'));
    const expected = [
        [2, 'gateway.data_dri', /data_dir/], [3, 'log.level', /info/], [5, 'listeners[0].port', /65535/],
        [6, 'listeners[1]', /tls/], [8, 'access.anonymous', /true/], [9, 'broker.max_packet_size', /KiB/],
        [11, 'rules[0].sql', /FROM/], [12, 'rules[1].to[0].lane', /alert/], [14, 'store.spill_after', /ms/],
        [15, 'cloud.keep_alive', /"/],
    ];
    const done = await sluice(['check', '-c', file]);
    assert.equal(done.code, 1, done.stdout + done.stderr);
    const problems = lines(done.stdout).filter((line) => !line.startsWith('warning:'));
    assert.equal(problems.length, expected.length, done.stdout);
    problems.forEach((problem, i) => {
        const parts = /^(.*):(\d+):(\d+): (\S+?): (.+)$/.exec(problem);
        assert(parts, problem);
        const [, name, line, column, where, text] = parts;
        const [wantLine, wantWhere, wantText] = expected[i];
        assert.equal(name, file);
        assert.equal(Number(line), wantLine, problem);
        assert(Number(column) >= 1 && Number(column) <= mistakes[line - 1].length, problem);
        assert(where.startsWith(wantWhere), problem);
        assert.match(text, wantText, problem);
    });
    // "run" says the same, and does not start.
    const started = await sluice(['run', '-c', file]);
    assert.equal(started.code, 1);
    for (const problem of problems) assert(started.stderr.includes(problem), problem);
});

scenario('check: clean files, syntax errors, files that are not there', async (s) => {
    const gateway = await s.gateway();
    assert.equal(ok(await gateway.sluice('check')).stdout, '');
    const file = path.join(s.dir, 'x.json');
    for (const [text, place] of [['', '1:1'], ['{', '1:1'], ['{\n  "log": {\n  "level": \n} }', '4:1'], ['[]', '1:1'],
        ['{ "gateway": { "id": "a" } } x', '1:30'], ['{ "log": { "level": "in\u0001fo" } }', '1:24']]) {
        writeFileSync(file, text);
        const done = await sluice(['check', '-c', file]);
        assert.equal(done.code, 1, text);
        assert(done.stdout.startsWith(`${file}:${place}: `), `${JSON.stringify(text)}: ${done.stdout}`);
    }
    const missing = await sluice(['check', '-c', path.join(s.dir, 'none.json')]);
    assert.equal(missing.code, 1);
    assert.match(missing.stdout, /none\.json/);
});

scenario('an environment variable and a file stand for values', async (s) => {
    const gateway = await s.gateway({ gateway: { id: '${E2E_NAME}-7', data_dir: 'data' } });
    const file = { env: { ...process.env, E2E_NAME: 'barn' } };
    ok(await sluice(['check', '-c', gateway.file], file));
    const without = await sluice(['check', '-c', gateway.file]);
    assert.equal(without.code, 1);
    assert.match(without.stdout, /gateway\.id: .*E2E_NAME/);
});

scenario('users are added, listed and removed, in the format of mosquitto_passwd', async (s) => {
    const gateway = await s.gateway({ access: { users_file: 'users' } });
    const file = path.join(gateway.dir, 'users');
    writeFileSync(file, '');
    ok(await sluice(['user', 'add', 'anna', '-c', gateway.file], { input: 'secret\n' }));
    ok(await sluice(['user', 'add', 'bert', '-c', gateway.file], { input: 'other' }));
    assert.match(readFileSync(file, 'utf8'), /^anna:\$7\$\d+\$[^$]+\$[^$]+\nbert:\$7\$/);
    assert.equal(statSync(file).mode & 0o077, 0, 'for its owner only');
    assert.deepEqual(lines(ok(await sluice(['user', 'list', '-c', gateway.file])).stdout), ['anna', 'bert']);
    ok(await run('mosquitto_passwd', ['-b', file, 'carl', 'third']));
    assert.deepEqual(lines(ok(await sluice(['user', 'list', '-c', gateway.file])).stdout).sort(), ['anna', 'bert', 'carl']);
    ok(await sluice(['user', 'remove', 'bert', '-c', gateway.file]));
    assert.deepEqual(lines(ok(await sluice(['user', 'list', '-c', gateway.file])).stdout).sort(), ['anna', 'carl']);
    const twice = await sluice(['user', 'remove', 'bert', '-c', gateway.file]);
    assert.equal(twice.code, 1);
    assert.match(twice.stderr, /bert/);
    const none = await sluice(['user', 'add', 'dora', '-c', gateway.file], { input: '' });
    assert.equal(none.code, 1);
});

scenario('rule test gives the same bytes for the same input', async (s) => {
    const input = [
        '{"topic":"site/a/air","payload":{"t":21.5},"ts":1700000000000}',
        '{"topic":"site/b/air","payload":{"t":12},"ts":1700000000001}',
        'not a message',
        '{"topic":"elsewhere","payload":{"t":99},"ts":1700000000002}',
        '{"topic":"site/c/air","payload":{"t":30,"x":[1,2]},"ts":1700000000003}',
    ].join('\n');
    const sql = "SELECT topic(2) AS room, t FROM 'site/+/air' WHERE t > 20";
    const args = ['rule', 'test', '--sql', sql];
    const first = await sluice(args, { input });
    assert.equal(first.code, 1, 'a bad line shows in the exit code');
    assert.match(first.stderr, /\b3\b/);
    assert.deepEqual(lines(first.stdout).map((line) => JSON.parse(line)), [
        { topic: 'site/a/air', payload: { room: 'a', t: 21.5 }, ts: 1700000000000 },
        { topic: 'site/c/air', payload: { room: 'c', t: 30 }, ts: 1700000000003 },
    ]);
    assert.equal((await sluice(args, { input })).stdout, first.stdout);
    const explained = await sluice([...args, '--explain'], { input });
    assert(lines(explained.stdout).length >= 2 + 4, explained.stdout);

    const file = path.join(s.dir, 'messages');
    writeFileSync(file, lines(input).filter((line) => line !== 'not a message').join('\n'));
    const gateway = await s.gateway({ rules: [{ name: 'hot', sql, to: [{ cloud: 'up/${gateway}/${room}' }] }] });
    const named = ok(await sluice(['rule', 'test', '-c', gateway.file, '--rule', 'hot', file]));
    assert.deepEqual(lines(named.stdout).map((line) => JSON.parse(line).topic), ['up/e2e/a', 'up/e2e/c']);
    const unknown = await sluice(['rule', 'test', '-c', gateway.file, '--rule', 'cold', file]);
    assert(unknown.code !== 0);
    assert.match(unknown.stderr, /cold/);
    const wrong = await sluice(['rule', 'test', '--sql', 'SELECT FROM', file]);
    assert(wrong.code !== 0);
    assert.match(wrong.stderr, /column|:\d+/);
});

scenario('simulate publishes so many readings, the same for the same seed', async (s) => {
    const gateway = await s.gateway();
    await gateway.start();
    const collect = async (seed) => {
        const local = s.sub(gateway, '-v', '-t', '#');
        await until('subscribed', async () => (await gateway.status()).broker.subscriptions >= 1);
        ok(await sluice(['simulate', '--port', String(gateway.port), '--sensors', '3', '--interval', '10ms', '--count', '5',
            '--seed', seed]));
        await until('15 readings', () => local.lines.length >= 15);
        local.kill();
        await local.exited;
        await until('unsubscribed', async () => (await gateway.status()).broker.subscriptions === 0);
        return local.lines.sort();
    };
    const first = await collect('7');
    assert.equal(first.length, 15);
    assert.equal(new Set(first.map((line) => line.split(' ')[0])).size, 3, 'one topic a sensor');
    assert.deepEqual(await collect('7'), first);
    assert.notDeepEqual(await collect('8'), first);
    const nobody = await sluice(['simulate', '--port', String(await freePort()), '--count', '1', '--interval', '10ms'],
        { timeout: 3000 }).then((done) => done.code, () => 'waits');
    assert.notEqual(nobody, 0, 'without a broker it fails, or waits for one');
});

scenario('status tells of the running gateway, and that none runs', async (s) => {
    const gateway = await s.gateway({
        rules: [{ name: 'everything', sql: "SELECT * FROM '#'", to: [{ cloud: 'up/${topic}' }] }],
    });
    const none = await gateway.sluice('status');
    assert.equal(none.code, 1);
    assert.equal(lines(none.stderr).length, 1, none.stderr);
    await gateway.start();
    for (let n = 0; n < 3; n++) await s.pub(gateway, '-q', '1', '-t', 'a/b', '-m', String(n));
    const text = ok(await gateway.sluice('status')).stdout;
    for (const word of ['e2e', 'disabled', 'everything', 'waiting']) assert(text.includes(word), `${word} in\n${text}`);
    const status = await gateway.status();
    assert.equal(status.gateway.id, 'e2e');
    assert.equal(status.store.messages, 3);
    assert.deepEqual(status.rules.map(({ name, in: taken, kept }) => ({ name, taken, kept })), [{ name: 'everything', taken: 3, kept: 3 }]);
    assert.equal((await gateway.queue('--lane', 'alert')).length, 0);
    assert.equal(lines(ok(await gateway.sluice('queue list', '--limit', '2')).stdout).length, 2);
    assert.equal((await gateway.queue('--dead')).length, 0);
});

scenario('a second gateway on the same data_dir does not start, and says why', async (s) => {
    const first = await s.gateway();
    const second = await s.gateway({ gateway: { id: 'other', data_dir: first.data } });
    await first.start();
    const done = await sluice(['run', '-c', second.file]);
    assert.equal(done.code, 1);
    assert.match(done.stderr, /another sluice runs with data_dir/);
    ok(await first.sluice('status'));
});

scenario('a port that is taken is named', async (s) => {
    const first = await s.gateway();
    await first.start();
    const second = await s.gateway({ listeners: first.config.listeners });
    const done = await sluice(['run', '-c', second.file]);
    assert.equal(done.code, 1);
    assert.match(done.stderr, new RegExp(`lan.*${first.port}.*in use`));
});

scenario('version names the program and its libraries', async () => {
    const text = ok(await sluice(['version'])).stdout;
    assert.match(text, /^sluice \d+\.\d+\.\d+ \(.+\)$/m);
    for (const library of [/libuv \d/, /SQLite 3/, /Mbed TLS \d/, /libwebsockets \d/, /cJSON \d/, /libgpiod \d/])
        assert.match(text, library);
});

scenario('SIGHUP: an invalid file changes nothing; a valid one takes effect, clients stay connected', async (s) => {
    const rule = (name) => ({ name, sql: `SELECT * FROM '${name}'`, to: [{ cloud: `up/${name}` }] });
    const gateway = await s.gateway({ rules: [rule('one')] });
    await gateway.start();
    const client = await s.client(gateway);
    const good = readFileSync(gateway.file, 'utf8');
    writeFileSync(gateway.file, good.replace('SELECT', 'SELEKT'));
    gateway.process.kill('SIGHUP');
    await until('it says why', () => gateway.allLog.includes('has errors: nothing was changed'));
    assert.match(gateway.allLog, /sluice\.json:\d+:\d+: rules\[0\]\.sql/);
    await client.publishAsync('one', '1', { qos: 1 });
    gateway.config.rules.push(rule('two'));
    gateway.write();
    gateway.process.kill('SIGHUP');
    await until('two rules', async () => (await gateway.status()).rules.length === 2);
    await client.publishAsync('two', '2', { qos: 1 });
    assert(client.connected);
    assert.deepEqual((await gateway.queue()).map((m) => m.topic), ['up/one', 'up/two']);
});
