// offline.test.mjs - the cloud is away: what is acknowledged waits on disk, and leaves in order when it is back.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { checkOrder, dedup } from './lib/cloud.mjs';
import { scenario } from './lib/scenario.mjs';
import { freePort, until } from './lib/system.mjs';

const SPILL_MS = 200;
const rules = [
    { name: 'all', sql: "SELECT * FROM 'site/#'", to: [{ cloud: 'up/${topic}' }] },
    { name: 'alarms', sql: "SELECT * FROM 'alarm/#'", to: [{ cloud: 'up/${topic}', lane: 'alert' }] },
];
const store = { spill_after: `${SPILL_MS}ms` };
const ms = (n) => `${Math.round(n)} ms`;

/** Publishes by mosquitto_pub, which must come back within half a second of spill_after. */
async function publishQuickly(s, gateway, topic, text) {
    const alone = (await s.pub(gateway, '-q', '0', '-t', 'nobody/listens', '-m', 'x')).ms; // the program's own time
    const sent = await s.pub(gateway, '-q', '1', '-t', topic, '-m', text);
    assert.equal(sent.code, 0, sent.stderr);
    assert(sent.ms - alone < SPILL_MS + 500, `mosquitto_pub came back after ${ms(sent.ms)}, ${ms(alone)} of them its own`);
}

const row = ({ lane, topic, payload }) => ({ lane, topic, payload });

/** The message must stand in the list whether a gateway runs or not, after any number of kill -9. */
async function survives(s, gateway, expected) {
    assert.deepEqual((await gateway.queue()).map(row), expected, 'asked of the running gateway');
    const numbers = (await gateway.queue()).map((m) => m.number);
    await gateway.kill();
    assert.deepEqual((await gateway.queue()).map(row), expected, 'after kill -9, with none running');
    await gateway.start();
    assert.deepEqual((await gateway.queue()).map(row), expected, 'after the restart');
    assert.deepEqual((await gateway.queue()).map((m) => m.number), numbers, 'identities change at no time');
    await gateway.stop();
    assert.deepEqual((await gateway.queue()).map(row), expected, 'after an orderly stop');
}

scenario('without a cloud section a QoS 1 publish is acknowledged once it is on disk', async (s) => {
    const gateway = await s.gateway({ rules, store });
    await gateway.start();
    await publishQuickly(s, gateway, 'site/a', '{"n":1}');
    assert.equal((await gateway.status()).cloud.state, 'disabled');
    await survives(s, gateway, [{ lane: 'telemetry', topic: 'up/site/a', payload: { n: 1 } }]);
});

scenario('likewise while the cloud is unreachable', async (s) => {
    const cloud = await s.cloud(); // not started: its port refuses
    const gateway = await s.gateway({ rules, store, cloud: cloud.config() });
    await gateway.start();
    await publishQuickly(s, gateway, 'site/a', '{"n":1}');
    await publishQuickly(s, gateway, 'alarm/b', 'not JSON');
    await survives(s, gateway, [
        { lane: 'alert', topic: 'up/alarm/b', payload: 'not JSON' },
        { lane: 'telemetry', topic: 'up/site/a', payload: { n: 1 } },
    ]);
});

scenario('likewise with a cloud whose name cannot be looked up', async (s) => {
    const cloud = await s.cloud();
    const gateway = await s.gateway({
        rules, store, cloud: cloud.config({ endpoint: 'no-such-host.invalid', port: await freePort() }),
    });
    await gateway.start();
    await publishQuickly(s, gateway, 'site/a', '{"n":1}');
    await until('the look-up fails', async () => (await gateway.status()).cloud.cause === 'dns', 30000);
    assert.match((await gateway.status()).cloud.error, /no-such-host\.invalid.*cannot be looked up/);
    assert.equal((await gateway.queue()).length, 1);
});

scenario('likewise when an accepted connection stays silent', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await s.gateway({ rules, store, cloud: cloud.config({ keep_alive: '2s' }) });
    await gateway.start();
    await gateway.cloudIs('online');
    cloud.gate.blackHole();
    await publishQuickly(s, gateway, 'site/a', '{"n":1}');
    assert.deepEqual((await gateway.queue()).map(row), [{ lane: 'telemetry', topic: 'up/site/a', payload: { n: 1 } }]);
    const state = await until('it is not called online', async () => {
        const now = (await gateway.status()).cloud.state;
        return now !== 'online' && now;
    });
    assert(['stalled', 'offline', 'connecting'].includes(state), state);
    await cloud.gate.close();
    await cloud.gate.open();
    await cloud.got('the message over a new connection', (m) => m.topic === 'up/site/a', 30000);
    await gateway.drained();
});

scenario('the backlog drains in order when the cloud comes, alerts first, over two outages', async (s) => {
    const cloud = await s.cloud();
    const gateway = await s.gateway({ rules, store, cloud: cloud.config() });
    await gateway.start();
    const client = await s.client(gateway);
    const sent = [];
    const publish = async (topic, count) => {
        const first = sent.length;
        for (let n = first; n < first + count; n++) sent.push({ topic, text: JSON.stringify({ n }) });
        await Promise.all(sent.slice(first).map((m) => client.publishAsync(m.topic, m.text, { qos: 1 })));
    };
    await publish('site/a', 300);
    await publish('alarm/b', 20);
    assert.equal((await gateway.status()).store.messages, 320);
    await gateway.kill();
    await gateway.start();
    await cloud.start();
    await cloud.got('everything', () => dedup(cloud.messages).length === 320, 30000);
    const early = dedup(cloud.messages);
    assert(early.findIndex((m) => m.topic === 'up/site/a') > 0, 'alerts go first');
    await gateway.drained();

    await cloud.kill();
    const again = await s.client(gateway);
    await Promise.all(Array.from({ length: 100 }, (unused, i) => {
        sent.push({ topic: 'site/a', text: JSON.stringify({ n: 320 + i }) });
        return again.publishAsync('site/a', sent.at(-1).text, { qos: 1 });
    }));
    await cloud.start();
    await cloud.got('the rest', () => dedup(cloud.messages).length === 420, 30000);
    await gateway.drained();

    const unique = dedup(cloud.messages);
    checkOrder(unique);
    for (const topic of ['site/a', 'alarm/b'])
        assert.deepEqual(unique.filter((m) => m.topic === `up/${topic}`).map((m) => m.text),
            sent.filter((m) => m.topic === topic).map((m) => m.text), topic);
    const { store: end } = await gateway.status();
    for (const lane of end.lanes) {
        assert.equal(lane.accepted, lane.delivered + lane.waiting + lane.lost, lane.name);
        assert.equal(lane.lost, 0);
    }
    await gateway.stop();
    assert.deepEqual(readdirSync(gateway.data).filter((name) => /-wal$|-shm$/.test(name)), [], 'the database was closed');
    assert.equal((await gateway.queue()).length, 0);
});

scenario('while the cloud acknowledges in time nothing is written to disk', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await s.gateway({ rules, store: { spill_after: '5s' }, cloud: cloud.config() });
    await gateway.start();
    await gateway.cloudIs('online');
    const client = await s.client(gateway);
    const before = (await gateway.status()).store.rows_written;
    await Promise.all(Array.from({ length: 500 }, (unused, n) => client.publishAsync('site/a', `{"n":${n}}`, { qos: 1 })));
    const { store: after } = await gateway.status();
    assert.equal(after.rows_written, before);
    assert.equal(dedup(cloud.messages).length, 500);
});
