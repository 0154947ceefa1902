// cloudside.test.mjs - batches, the report of an outage, and commands on their way down.
import assert from 'node:assert/strict';
import { parseId } from './lib/cloud.mjs';
import { scenario } from './lib/scenario.mjs';

const store = { spill_after: '200ms' };

/** The elements of all batches on a topic, each with its message. */
const elements = (cloud, topic) => cloud.messages.filter((m) => m.topic === topic).flatMap((m) => {
    const list = JSON.parse(m.text);
    assert.equal(m.properties.userProperties['sluice-batch'], String(list.length));
    return list.map((e) => ({ ...e, of: list.length, bytes: m.payload.length }));
});

scenario('a backlog leaves in batches, each element with its identity and time, within the limits', async (s) => {
    const cloud = await s.cloud();
    const rules = [{
        name: 'all', sql: "SELECT * FROM 'site/+'",
        to: [{ cloud: 'up/${topic}', batch: { max_bytes: '2KiB', max_count: 20, max_age: '200ms' } }],
    }];
    const gateway = await s.gateway({ rules, store, cloud: cloud.config() });
    await gateway.start();
    const client = await s.client(gateway);
    const publish = (n) => client.publishAsync(`site/${n % 2}`, JSON.stringify({ n, pad: 'x'.repeat(n % 90) }), { qos: 1 });
    await Promise.all(Array.from({ length: 300 }, (unused, n) => publish(n)));
    await client.publishAsync('site/0', 'not JSON', { qos: 1 });
    await gateway.kill(); // the rows find their limits again
    await gateway.start();
    await cloud.start();
    await gateway.drained();
    const all = [0, 1].map((n) => elements(cloud, `up/site/${n}`));
    assert.equal(all[0].length, 151);
    assert.equal(all[1].length, 150);
    for (const list of all) {
        assert(list.every((e) => e.of <= 20 && e.bytes <= 2048));
        assert(list.filter((e) => e.of > 5).length > 100, 'a backlog fills its batches');
        const numbers = list.map((e) => parseId(e['sluice-id']).number);
        assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b), 'in order');
        assert.equal(new Set(numbers).size, numbers.length);
        assert(list.every((e) => Math.abs(Date.now() - e['sluice-ts']) < 60000));
    }
    assert.equal(Buffer.from(all[0].at(-1).base64, 'base64').toString(), 'not JSON');
    assert.deepEqual(all[1].map((e) => e.n), Array.from({ length: 150 }, (unused, i) => 2 * i + 1));
});

scenario('while the cloud answers, a batch that fills up writes nothing to disk', async (s) => {
    const cloud = await s.cloud();
    const rules = [{ name: 'all', sql: "SELECT * FROM 'site/#'", to: [{ cloud: 'up', batch: { max_age: '1500ms' } }] }];
    const gateway = await s.gateway({ rules, store, cloud: cloud.config() });
    await cloud.start();
    await gateway.start();
    await gateway.cloudIs('online');
    const client = await s.client(gateway);
    const began = Date.now();
    await Promise.all(Array.from({ length: 10 }, (unused, n) => client.publishAsync('site/a', JSON.stringify({ n }), { qos: 1 })));
    const took = Date.now() - began;
    assert(took >= 1200, `acknowledged when the batch was, after ${took} ms`);
    assert.equal(elements(cloud, 'up').length, 10);
    assert.equal(cloud.messages.length, 1, 'one message');
    const status = await gateway.status();
    assert.equal(status.cloud.batches, 1);
    assert.equal(status.cloud.batched, 10);
    assert.equal(status.store.rows_written ?? 0, 0, 'nothing was written');
});

scenario('an outage is reported when the link is back, once, and a short one is not', async (s) => {
    const cloud = await s.cloud();
    const rules = [{ name: 'all', sql: "SELECT * FROM 'site/#'", to: [{ cloud: 'up' }] }];
    const gateway = await s.gateway({
        rules, store, cloud: cloud.config({ report_topic: 'fleet/${gateway}/gap', report_after: '2s' }),
    });
    await gateway.start();
    const client = await s.client(gateway);
    for (let n = 0; n < 3; n++) await client.publishAsync('site/a', '{}', { qos: 1 });
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await cloud.start();
    const report = await cloud.got('a report', (m) => m.topic.startsWith('fleet/'), 10000);
    const told = JSON.parse(report.text);
    assert.equal(report.topic, `fleet/${told.gateway}/gap`);
    assert.equal(parseId(report.id).lane, 'alert');
    assert(told.to - told.from >= 2000 && told.to <= Date.now(), report.text);
    assert.equal(told.cause, 'tcp');
    assert.deepEqual(told.lost, {});
    await gateway.drained();
    await cloud.kill();
    await cloud.start();
    await gateway.cloudIs('online');
    await client.publishAsync('site/a', '{"last":1}', { qos: 1 });
    await cloud.got('what came last', (m) => m.text === '{"last":1}', 10000);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(cloud.messages.filter((m) => m.topic.startsWith('fleet/')).length, 1);
});

