// queue.test.mjs - sluice queue: what waits for the cloud, looked at, kept and thrown away, with and without a gateway.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { checkOrder, dedup, parseId } from './lib/cloud.mjs';
import { scenario } from './lib/scenario.mjs';
import { start, until } from './lib/system.mjs';

const rules = [
    { name: 'all', sql: "SELECT * FROM 'site/#'", to: [{ cloud: 'up/${topic}' }] },
    { name: 'alarms', sql: "SELECT * FROM 'alarm/#'", to: [{ cloud: 'up/${topic}', lane: 'alert' }] },
];
const lines = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
const ledger = (status, lane) => status.store.lanes.find((l) => l.name === lane);
const lost = (status, lane, reason) => ledger(status, lane).losses.find((l) => l.reason === reason)?.count ?? 0;

/** Publishes at QoS 1 from a few clients at once; every one is acknowledged, so it is on disk. */
async function fill(s, gateway, count, message, topic = 'site/a') {
    const clients = await Promise.all([0, 1, 2, 3].map(() => s.client(gateway)));
    await Promise.all(clients.map(async (client, first) => {
        let next = first;
        const one = async () => {
            while (next < count) {
                const i = next;
                next += clients.length;
                await client.publishAsync(topic, message(i), { qos: 1 });
            }
        };
        await Promise.all(Array.from({ length: 64 }, one));
    }));
    for (const client of clients) await client.endAsync();
}

async function exported(gateway, ...args) {
    const done = await gateway.sluice('queue export', ...args);
    assert.equal(done.code, 0, done.stderr);
    return lines(done.stdout);
}

/** The text that it says, which scripts read. */
async function purged(gateway, ...args) {
    const done = await gateway.sluice('queue purge', ...args);
    assert.equal(done.code, 0, done.stderr);
    const what = args.includes('--dead') ? 'dead letter' : 'message';
    const count = Number(/^purged (\d+) /.exec(done.stdout)?.[1]);
    assert.equal(done.stdout, `purged ${count} ${what}${count === 1 ? '' : 's'}\n`);
    return count;
}

const proc = (gateway, file) => readFileSync(`/proc/${gateway.process.pid}/${file}`, 'utf8');
const residentMost = (gateway) => Number(/VmHWM:\s+(\d+) kB/.exec(proc(gateway, 'status'))[1]) / 1024;
/** A sanitizer keeps what is freed for a while: then memory says nothing. */
const sanitized = (gateway) => /lib[at]san/.test(proc(gateway, 'maps'));

scenario('100,000 messages are listed and kept page by page, and thrown away', { timeout: 280000 }, async (s) => {
    const COUNT = 100000;
    const gateway = await s.gateway({ rules });
    await gateway.start();
    await fill(s, gateway, COUNT, (i) => `{"n":${i}}`);
    await fill(s, gateway, 10, (i) => `alarm ${i}`, 'alarm/a');
    const before = residentMost(gateway);
    const all = await exported(gateway);
    assert.equal(all.length, COUNT + 10);
    const grown = residentMost(gateway) - before;
    assert(grown < 8 || sanitized(gateway), `exporting took ${grown} MiB of the gateway`);
    assert(all.slice(0, 10).every((m) => m.lane === 'alert'), 'the alerts come first');
    const numbers = all.slice(10).map((m) => m.number);
    assert(numbers.every((n, i) => i === 0 || n > numbers[i - 1]), 'in order, each once');
    assert.equal(new Set(all.slice(10).map((m) => m.payload)).size, COUNT);
    assert.equal((await gateway.sluice('queue list')).stdout.split('\n').length - 1, 1000, 'the default limit');
    assert.equal((await gateway.queue()).length, COUNT + 10);
    const some = await exported(gateway, '--lane', 'telemetry', '--limit', '2500');
    assert.deepEqual(some, all.slice(10, 2510));

    await gateway.kill();
    assert.deepEqual(await exported(gateway), all, 'from the file: the same bytes');
    assert.deepEqual(await exported(gateway, '--limit', '1500'), all.slice(0, 1500));
    assert.equal(await purged(gateway, '--lane', 'telemetry', '--limit', '30000'), 30000, 'without a gateway');
    await gateway.start();
    await until('the store is open', async () => !(await gateway.status()).store.opening);
    let status = await gateway.status();
    assert.equal(ledger(status, 'telemetry').waiting, COUNT - 30000);
    assert.equal(lost(status, 'telemetry', 'purged'), 30000);
    assert.equal((await gateway.queue('--limit', '1', '--lane', 'telemetry'))[0].number, numbers[30000], 'the oldest went');

    const began = performance.now();
    assert.equal(await purged(gateway, '--lane', 'telemetry'), COUNT - 30000, 'with a gateway');
    const took = performance.now() - began;
    assert(took < 20000, `throwing away 70,000 took ${took} ms`);
    status = await gateway.status();
    assert.equal(lost(status, 'telemetry', 'purged'), COUNT);
    assert.equal(ledger(status, 'telemetry').accepted, COUNT);
    assert.equal(ledger(status, 'alert').waiting, 10, 'the other lane is untouched');
    assert.equal(await purged(gateway), 10);
    assert.equal(await purged(gateway), 0, 'nothing is no error');
    await gateway.stop();
    assert.equal(await purged(gateway), 0);
    assert.deepEqual(await exported(gateway), []);
});

scenario('what is kept is all there is of a message', async (s) => {
    const gateway = await s.gateway({ rules });
    await gateway.start();
    const client = await s.client(gateway, { protocolVersion: 5 });
    const bytes = Buffer.from([0xff, 0, 1, 0xc3, 0x28, 10]);
    const large = 'ä'.repeat(60000);
    await client.publishAsync('site/bytes', bytes, { qos: 1 });
    await client.publishAsync('site/text', 'a "b"\n\\c', { qos: 1 });
    await client.publishAsync('site/large', large, { qos: 1 });
    await client.publishAsync('site/empty', '', { qos: 1 });
    for (const running of [true, false]) {
        if (!running) await gateway.stop();
        const [a, b, c, d] = await exported(gateway);
        assert.deepEqual(Buffer.from(a.payload_base64, 'base64'), bytes);
        assert.equal(a.payload, undefined);
        assert.deepEqual([a.lane, a.topic, a.qos, a.retain], ['telemetry', 'up/site/bytes', 1, false]);
        assert(Math.abs(a.ts - Date.now()) < 60000 && Number.isSafeInteger(a.number));
        assert.deepEqual([b.payload, c.payload, d.payload], ['a "b"\n\\c', large, '']);
    }
});

scenario('pages end by size, too: large messages one by one', async (s) => {
    const gateway = await s.gateway({ rules });
    await gateway.start();
    const body = 'x'.repeat(200000);
    await fill(s, gateway, 40, () => body);
    const all = await exported(gateway);
    assert.equal(all.length, 40);
    assert(all.every((m) => m.payload === body));
    await gateway.stop();
    assert.deepEqual(await exported(gateway), all);
});

scenario('dead letters are kept with their reason, and thrown away by themselves', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await s.gateway({ rules, cloud: cloud.config({ limits: { max_payload: 100 } }) });
    await gateway.start();
    await gateway.cloudIs('online');
    const client = await s.client(gateway);
    for (let i = 0; i < 3; i++) await client.publishAsync('site/a', 'x'.repeat(101 + i), { qos: 1 });
    await client.publishAsync('alarm/a', 'x'.repeat(200), { qos: 1 });
    await until('all are dead', async () => (await gateway.status()).store.dead === 4);
    const dead = await exported(gateway, '--dead');
    assert.equal(dead.length, 4);
    assert(dead.every((m) => m.reason && m.payload.length > 100), JSON.stringify(dead));
    assert.equal((await exported(gateway, '--dead', '--lane', 'alert')).length, 1);
    assert.equal((await gateway.queue('--dead')).length, 4);
    assert.equal(await purged(gateway, '--dead', '--lane', 'alert'), 1);
    assert.equal(await purged(gateway, '--dead', '--limit', '1'), 1);
    assert.equal((await gateway.status()).store.dead, 2);
    await gateway.stop();
    assert.deepEqual((await exported(gateway, '--dead')), dead.filter((m) => m.lane === 'telemetry').slice(1));
    assert.equal(await purged(gateway, '--dead'), 2);
    await gateway.start();
    await until('the store is open', async () => !(await gateway.status()).store.opening);
    const status = await gateway.status();
    assert.equal(status.store.dead, 0);
    assert.equal(lost(status, 'telemetry', 'dead') + lost(status, 'alert', 'dead'), 4, 'the ledger keeps them');
});

scenario('thrown away while the link drains: each message is delivered or in the ledger', async (s) => {
    const COUNT = 3000;
    const cloud = await s.cloud();
    const gateway = await s.gateway({
        rules, cloud: cloud.config({ limits: { publishes_per_second: 500, in_flight: 20 } }),
    });
    await gateway.start();
    await fill(s, gateway, COUNT, (i) => `${i}`);
    await cloud.start();
    await until('it drains', () => cloud.messages.length > 200, 30000);
    const gone = await purged(gateway);
    assert(gone > 0 && gone < COUNT - 200, `${gone} were thrown away`);
    await (await s.client(gateway)).publishAsync('site/after', 'after', { qos: 1 });
    await cloud.got('what came later', (m) => m.text === 'after');
    await gateway.drained();
    const unique = dedup(cloud.messages);
    checkOrder(unique);
    const t = ledger(await gateway.status(), 'telemetry');
    assert.equal(t.accepted, COUNT + 1);
    assert.equal(t.delivered, unique.length);
    assert.equal(t.lost, gone);
    assert.equal(t.delivered + t.lost, t.accepted);
    const numbers = unique.map((m) => parseId(m.id).number);
    assert.equal(Math.max(...numbers), numbers.at(-1));
});

scenario('wrong usage, and a gateway that ends midway', async (s) => {
    const gateway = await s.gateway({ rules });
    for (const [args, want] of [
        [['--lane', 'urgent'], /none of alert, normal, telemetry/],
        [['--limit', '0'], /below the least/],
        [['--limit', 'x'], /not a whole number/],
        [['--dead', 'yes'], /one argument too many/],
        [['--all'], /unknown option/],
    ])
        for (const what of ['list', 'export', 'purge']) {
            const done = await gateway.sluice(`queue ${what}`, ...args);
            assert.equal(done.code, 2, done.stderr);
            assert.match(done.stderr, want);
            assert.equal(done.stderr.split('\n').length, 2, 'one line');
        }
    await gateway.start();
    await fill(s, gateway, 20000, (i) => `${i} ${'x'.repeat(100)}`);
    const child = start(process.env.SLUICE, ['queue', 'export', '-c', gateway.file], { cwd: gateway.dir });
    await until('it has begun', () => child.log.length > 200000);
    await gateway.kill();
    const { code } = await child.exited;
    const rows = child.log.split('\n').filter((l) => l.startsWith('{'));
    if (code === 0) assert.equal(rows.length, 20000, 'what the gateway could not say any more came from the file');
    else assert.match(child.log, /sluice queue export: /);
});
