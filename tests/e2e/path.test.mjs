// path.test.mjs - the whole way: sensor, rule, mutual TLS, cloud, and back.
import assert from 'node:assert/strict';
import { dedup, parseId } from './lib/cloud.mjs';
import { scenario } from './lib/scenario.mjs';
import { until } from './lib/system.mjs';

const rules = [
    {
        name: 'warm',
        sql: "SELECT topic(2) AS room, t, t * 2 AS twice FROM 'site/+/air' WHERE t > 20",
        to: [{ cloud: 'telemetry/${gateway}/${room}' }],
    },
    { name: 'alarm', sql: "SELECT * FROM 'alarm/#'", to: [{ cloud: 'alarms/${topic}', lane: 'alert' }] },
    { name: 'echo', sql: "SELECT t FROM 'site/+/air' WHERE t > 30", to: [{ local: 'hot/${topic(2)}', retain: true }] },
];

for (const version of [5, 4]) {
    scenario(`a reading goes from a sensor to the cloud, MQTT ${version === 5 ? '5' : '3.1.1'} there`, async (s) => {
        const cloud = await s.cloud();
        await cloud.start();
        const gateway = await s.gateway({ rules, cloud: cloud.config({ protocol_version: version }) });
        await gateway.start();
        await gateway.cloudIs('online');
        for (const [room, t] of [['kitchen', 21.5], ['cellar', 12], ['attic', 31]]) {
            const sent = await s.pub(gateway, '-q', '1', '-t', `site/${room}/air`, '-m', JSON.stringify({ t, h: 40 }));
            assert.equal(sent.code, 0, sent.stderr);
        }
        await cloud.got('the last reading', (m) => m.topic === 'telemetry/e2e/attic');
        assert.deepEqual(cloud.messages.map(({ topic, text }) => ({ topic, text })), [
            { topic: 'telemetry/e2e/kitchen', text: '{"room":"kitchen","t":21.5,"twice":43}' },
            { topic: 'telemetry/e2e/attic', text: '{"room":"attic","t":31,"twice":62}' },
        ]);
        const connected = (await gateway.status()).cloud;
        assert.equal(connected.protocol_version, version);
        await gateway.drained();
        if (version === 5) {
            const ids = cloud.messages.map((m) => parseId(m.id));
            assert.deepEqual(ids.map((id) => [id.gateway, id.lane]), [['e2e', 'telemetry'], ['e2e', 'telemetry']]);
            assert(ids[1].number > ids[0].number, `${ids[1].number} after ${ids[0].number}`);
        } else {
            assert(cloud.messages.every((m) => m.id === undefined), 'MQTT 3.1.1 has no properties');
        }
        await gateway.stop();
        assert.equal((await gateway.queue()).length, 0);
    });
}

scenario('payloads arrive byte for byte, in every size, each lane in order', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await s.gateway({ rules, cloud: cloud.config() });
    await gateway.start();
    const client = await s.client(gateway, { protocolVersion: 5 });
    const payloads = [0, 1, 127, 128, 4095, 4096, 70000].map((size) => Buffer.alloc(size, `${size}\0\xff"{`));
    for (const payload of payloads) await client.publishAsync('alarm/bytes', payload, { qos: 1 });
    await until('all arrived', () => cloud.messages.length >= payloads.length);
    const arrived = dedup(cloud.messages);
    assert.equal(arrived.length, payloads.length);
    arrived.forEach((m, i) => {
        assert(m.payload.equals(payloads[i]), `payload ${i}: ${m.payload.length} bytes`);
        assert.equal(m.topic, 'alarms/alarm/bytes');
        assert.equal(parseId(m.id).lane, 'alert');
    });
});

scenario('what the cloud publishes arrives on the local broker', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await s.gateway({
        rules,
        cloud: cloud.config({ thing_name: 'thing-7', subscribe: [{ cloud: 'cmd/${thing_name}/#', local: 'orders/#', qos: 1 }] }),
    });
    await gateway.start();
    const local = s.sub(gateway, '-v', '-t', 'orders/#', '-t', 'hot/#');
    await gateway.cloudIs('online');
    await until('mosquitto_sub has subscribed', async () => (await gateway.status()).broker.subscriptions >= 2);
    const operator = await cloud.client();
    s.defer(() => operator.endAsync(true));
    await operator.publishAsync('cmd/thing-7/valve/3', 'open', { qos: 1 });
    await operator.publishAsync('cmd/another/valve/3', 'close', { qos: 1 });
    await operator.publishAsync('cmd/thing-7/last', 'x', { qos: 0 });
    await s.pub(gateway, '-q', '1', '-t', 'site/attic/air', '-m', '{"t":35}');
    await until('three messages', () => local.lines.length >= 3);
    assert.deepEqual(local.lines.sort(), ['hot/attic {"t":35}', 'orders/last x', 'orders/valve/3 open']);
});

scenario('$SYS/gateway/cloud tells the state, as do status and the log', async (s) => {
    const cloud = await s.cloud();
    const gateway = await s.gateway({ rules, cloud: cloud.config() });
    await gateway.start();
    const watch = s.sub(gateway, '-t', '$SYS/gateway/cloud');
    const seen = (state, cause) => until(`$SYS says ${state}`, () =>
        watch.lines.map((line) => JSON.parse(line)).reverse().find((m) => m.state === state && m.cause === cause));
    const offline = await seen('offline', 'tcp'); // after the first attempt; before it there is no cause
    assert.match(offline.error, new RegExp(`localhost:${cloud.port}.*refused`));
    await cloud.start();
    const online = await seen('online', '');
    assert(Math.abs(online.since - Date.now()) < 60000);
    assert.equal((await gateway.status()).cloud.state, 'online');
    const before = watch.lines.length;
    await cloud.kill();
    await until('offline again', () => watch.lines.slice(before).some((line) => JSON.parse(line).state === 'offline'));
});
