// store.test.mjs - the outbox with the real program: sealed at rest, and thinned when it is full.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { sluice } from './lib/gateway.mjs';
import { scenario } from './lib/scenario.mjs';
import { until } from './lib/system.mjs';

const rules = [
    { name: 'all', sql: "SELECT * FROM 'in/#'", to: [{ cloud: 'up/${topic(2)}' }] },
    { name: 'alarms', sql: "SELECT * FROM 'alarm'", to: [{ cloud: 'alarm', lane: 'alert' }] },
];

const contents = (gateway) =>
    Object.fromEntries(readdirSync(gateway.data).filter((file) => file.startsWith('queue.db')).sort()
        .map((file) => [file, readFileSync(path.join(gateway.data, file)).toString('latin1')]));

async function publish(s, gateway, messages) {
    const client = await s.client(gateway);
    await Promise.all(messages.map(([topic, text]) => client.publishAsync(topic, text, { qos: 1 })));
    await client.endAsync();
}

scenario('with a key nothing lies on the disk in the clear; a wrong key, or none, changes nothing', async (s) => {
    const key = randomBytes(32).toString('hex');
    const gateway = await s.gateway({ rules, broker: { persistence: false } });
    writeFileSync(path.join(gateway.dir, 'store.key'), `${key}\n`);
    gateway.config.store = { encryption_key: '@file:store.key' };
    gateway.write();
    await gateway.start();
    await publish(s, gateway, [['in/place-in-clear', '{"text":"reading-in-clear"}'], ['alarm', '{"text":"second-in-clear"}']]);
    const queued = await gateway.queue();
    assert.equal(queued.length, 2);
    await gateway.kill();
    assert.deepEqual(await gateway.queue(), queued, 'the command line has the key as well');
    await gateway.start();
    assert.deepEqual(await gateway.queue(), queued);
    await gateway.stop();
    const before = contents(gateway);
    assert.doesNotMatch(JSON.stringify(before), /in-clear/);
    assert.doesNotMatch(gateway.allLog, new RegExp(`${key}|in-clear`), 'neither the key nor what is sealed is logged');

    for (const [what, store, says] of [
        ['another key', { encryption_key: randomBytes(32).toString('base64') }, /cannot start: \/[^ ]+\/queue\.db: its messages are sealed with another key/],
        ['no key', undefined, /store\.encryption_key is needed/],
        ['half a key', { encryption_key: key.slice(32) }, /store\.encryption_key: is no key/],
    ]) {
        gateway.config.store = store;
        gateway.write();
        const run = await sluice(['run', '-c', gateway.file], { cwd: gateway.dir });
        assert.notEqual(run.code, 0, what);
        assert.match(run.stderr, says);
        assert.doesNotMatch(run.stderr, new RegExp(key.slice(32)));
        assert.deepEqual(contents(gateway), before, `${what} touches nothing`);
    }
    gateway.config.store = { encryption_key: key };
    gateway.write();
    await gateway.start();
    assert.deepEqual(await gateway.queue(), queued);
});

/** What is in every file of data_dir, logs and what was set aside too. */
function everything(gateway) {
    const files = readdirSync(gateway.data, { recursive: true }).sort().filter((file) => statSync(path.join(gateway.data, file)).isFile());
    return Object.fromEntries(files.map((file) => [file, readFileSync(path.join(gateway.data, file)).toString('latin1')]));
}

/** Which of these words lie in the clear, as "file: word". */
const inClear = (files, words) => Object.entries(files).flatMap(([file, text]) => words.filter((w) => text.includes(w)).map((w) => `${file}: ${w}`));

/** A session with a will that waits, what waits for it, retained messages, and what waits for the cloud. */
const traces = {
    topics: ['topic-of-retained', 'topic-for-session', 'topic-of-will', 'filter-of-session', 'topic-for-cloud'],
    texts: ['text-retained', 'text-for-session', 'text-of-will', 'text-for-cloud', 'client-with-session'],
};
const allTraces = [...traces.topics, ...traces.texts];

const keeper = (s, gateway, clean = false) => s.client(gateway, {
    protocolVersion: 5, clientId: 'client-with-session', clean, properties: { sessionExpiryInterval: 3600 },
    will: { topic: 'topic-of-will', payload: 'text-of-will', qos: 1, retain: true, properties: { willDelayInterval: 3000 } },
});

async function leaveTraces(s, gateway) {
    const session = await keeper(s, gateway);
    await session.subscribeAsync(['topic-for-session/#', 'filter-of-session/#'], { qos: 1 });
    session.stream.destroy(); // the will is delayed, and stays with the session
    await until('it is offline', async () => (await gateway.status()).broker.connected === 0 || !session.connected);
    const pub = await s.client(gateway);
    await pub.publishAsync('topic-of-retained', '{"text":"text-retained"}', { qos: 1, retain: true });
    await pub.publishAsync('topic-for-session/1', '{"text":"text-for-session"}', { qos: 1 });
    await pub.publishAsync('in/topic-for-cloud', '{"text":"text-for-cloud"}', { qos: 1 });
    await pub.endAsync();
}

async function findTraces(s, gateway) {
    assert.deepEqual((await gateway.queue()).map((m) => [m.topic, m.payload.text]), [['up/topic-for-cloud', 'text-for-cloud']]);
    const session = await keeper(s, gateway);
    await until('the message for the session is there', () => session.got.length === 1);
    assert.deepEqual(session.got, [['topic-for-session/1', '{"text":"text-for-session"}', 1, false]]);
    const any = await s.client(gateway);
    await any.subscribeAsync('topic-of-retained');
    await until('the retained message is there', () => any.got.length === 1);
    assert.equal(any.got[0][1], '{"text":"text-retained"}');
    await any.endAsync();
}

scenario('with a key no file in data_dir has a payload or a topic: sessions, wills, retained messages, outbox', async (s) => {
    const gateway = await s.gateway({ rules, store: { encryption_key: randomBytes(32).toString('hex') } });
    await gateway.start();
    await leaveTraces(s, gateway);
    assert.deepEqual(inClear(everything(gateway), allTraces), [], 'while it runs');
    await gateway.kill();
    assert.deepEqual(inClear(everything(gateway), allTraces), [], 'after kill -9, with the logs');
    await gateway.start();
    await gateway.stop();
    assert.deepEqual(inClear(everything(gateway), allTraces), [], 'after a stop');
    await gateway.start();
    await findTraces(s, gateway);
    await gateway.stop();
    for (const file of ['state.db', 'queue.db']) { // damaged: set aside, and what can be read is brought over
        const whole = readFileSync(path.join(gateway.data, file));
        whole.fill(0x5a, whole.length - 4096);
        writeFileSync(path.join(gateway.data, file), whole.subarray(0, whole.length - 100));
    }
    await gateway.start();
    await leaveTraces(s, gateway);
    await gateway.stop();
    assert.deepEqual(inClear(everything(gateway), allTraces), [], Object.keys(everything(gateway)).join(' '));
    assert.deepEqual(inClear({ log: gateway.allLog }, traces.texts.slice(0, 4)), [], 'nor in the log');
});

scenario('without a key all of it can be read; state.db is sealed when a key comes, and wants that key from then on', async (s) => {
    const gateway = await s.gateway({ rules });
    await gateway.start();
    await leaveTraces(s, gateway);
    await gateway.kill();
    const found = inClear(everything(gateway), allTraces).map((line) => line.split(': ')[1]);
    assert.deepEqual([...new Set(found)].sort(), [...allTraces].sort(), 'the search finds what is there');

    gateway.config.store = { encryption_key: randomBytes(32).toString('hex') };
    gateway.write();
    await gateway.start();
    assert.match(gateway.allLog, /state\.db was begun without a key: all of it is sealed now/);
    const state = Object.fromEntries(Object.entries(everything(gateway)).filter(([file]) => file.startsWith('state.db')));
    assert.deepEqual(inClear(state, allTraces), []);
    await findTraces(s, gateway);
    await gateway.stop();

    renameSync(path.join(gateway.data, 'queue.db'), path.join(gateway.dir, 'queue.db')); // of state.db alone
    const before = everything(gateway);
    for (const [what, store, says] of [
        ['another key', { encryption_key: randomBytes(32).toString('hex') }, /cannot start: \/[^ ]+\/state\.db: its messages are sealed with another key/],
        ['no key', undefined, /cannot start: \/[^ ]+\/state\.db: its messages are sealed: store\.encryption_key is needed/],
    ]) {
        const mine = gateway.config.store;
        gateway.config.store = store;
        gateway.write();
        const run = await sluice(['run', '-c', gateway.file], { cwd: gateway.dir });
        assert.equal(run.code, 1, what);
        assert.match(run.stderr, says);
        assert.deepEqual(everything(gateway), before, `${what} touches nothing`);
        gateway.config.store = mine;
    }
    gateway.write();
    renameSync(path.join(gateway.dir, 'queue.db'), path.join(gateway.data, 'queue.db'));
    await gateway.start();
    await keeper(s, gateway);
});

scenario('a store that is full keeps its shape: old telemetry is thinned, newest of each topic and alarms stay', async (s) => {
    const gateway = await s.gateway({ rules, store: { max_bytes: '128KiB', when_full: 'thin', sync: 'off' } });
    await gateway.start();
    await publish(s, gateway, [['alarm', '{"n":0}']]);
    await publish(s, gateway, [['in/rare', '{"n":-1}']]);
    const pad = 'x'.repeat(100);
    for (let n = 0; n < 3000; n += 500)
        await publish(s, gateway, Array.from({ length: 500 }, (_, i) => [`in/t${(n + i) % 3}`, JSON.stringify({ n: n + i, pad })]));
    await until('it was counted', async () => (await gateway.status()).store.thinned > 0);
    const { store, events } = await gateway.status();
    const lane = store.lanes.find((l) => l.lane === 'telemetry' || l.name === 'telemetry');
    assert.equal(store.dropped, 0, 'nothing is dropped');
    assert.equal(lane.accepted, lane.delivered + lane.waiting + lane.lost);
    assert.equal(store.thinned, lane.lost);
    assert(store.bytes <= 128 * 1024, `${store.bytes} bytes wait`);
    await until('it is said', async () => (await gateway.status()).events.some((e) => /resolution/.test(e.text)));
    const rows = await gateway.queue();
    assert.deepEqual(rows.filter((r) => r.lane === 'alert').map((r) => r.payload.n), [0]);
    const kept = rows.filter((r) => r.lane === 'telemetry').map((r) => r.payload.n);
    assert.deepEqual(kept, [...kept].sort((a, b) => a - b), 'in order');
    assert(kept.includes(-1), 'the only one of its topic');
    for (let n = 2900; n < 3000; n++) assert(kept.includes(n), `${n} is new`);
    assert(kept[1] < 2000, `it reaches back further than the newest would: ${kept.slice(0, 5)}`); // about 2400
    const before = [store.thinned, kept.length];
    await gateway.kill();
    await gateway.start();
    const after = await until('it is open', async () => {
        const now = (await gateway.status()).store;
        return now.opening ? null : now;
    });
    assert.deepEqual([after.thinned, (await gateway.queue()).filter((r) => r.lane === 'telemetry').length], before);
    assert(events);
});
