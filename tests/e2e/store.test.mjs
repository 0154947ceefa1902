// store.test.mjs - the outbox with the real program: sealed at rest, and thinned when it is full.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
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
        ['another key', { encryption_key: randomBytes(32).toString('base64') }, /sealed with another key/],
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
