// interop_mqttjs.test.mjs - MQTT.js in each version of the protocol over each transport, through the same behaviours.
import assert from 'node:assert/strict';
import { everyListener } from './lib/listeners.mjs';
import { scenario } from './lib/scenario.mjs';
import { until } from './lib/system.mjs';

const VERSIONS = { 3.1: { protocolVersion: 3, protocolId: 'MQIsdp' }, '3.1.1': { protocolVersion: 4 }, 5: { protocolVersion: 5 } };
const TRANSPORTS = ['tcp', 'tls', 'ws', 'wss', 'unix'];

let serial = 0;

/** What every behaviour gets: connect(options) makes a client of the version and transport under test. */
function dialect(s, gateway, version, transport) {
    const [url, more] = gateway.where[transport];
    return {
        v5: version === '5',
        v31: version === '3.1',
        topic: `t/${++serial}`,
        connect: (options = {}) => s.client(url, { clientId: `c${++serial}`, ...VERSIONS[version], ...more, ...options }),
    };
}

const behaviours = {
    async 'every QoS both ways'({ connect, topic }) {
        const [from, to] = [await connect(), await connect()];
        await to.subscribeAsync(`${topic}/#`, { qos: 2 });
        for (const qos of [0, 1, 2]) await from.publishAsync(`${topic}/${qos}`, `q${qos}`, { qos });
        await until('three', () => to.got.length >= 3);
        assert.deepEqual(to.got, [0, 1, 2].map((qos) => [`${topic}/${qos}`, `q${qos}`, qos, false]));
        await to.unsubscribeAsync(`${topic}/#`);
        await to.subscribeAsync(`${topic}/0`, { qos: 0 });
        await from.publishAsync(`${topic}/2`, 'not any more', { qos: 2 });
        await from.publishAsync(`${topic}/0`, 'lower', { qos: 2 });
        await until('one more', () => to.got.length >= 4);
        assert.deepEqual(to.got[3], [`${topic}/0`, 'lower', 0, false]);
    },
    async 'retained messages'({ connect, topic }) {
        const one = await connect();
        await one.publishAsync(topic, 'kept', { qos: 1, retain: true });
        const two = await connect();
        await two.subscribeAsync(topic, { qos: 1 });
        await until('it', () => two.got.length === 1);
        await one.publishAsync(topic, '', { qos: 1, retain: true });
        await until('its end', () => two.got.length === 2);
        const three = await connect();
        await three.subscribeAsync(topic, { qos: 1 });
        await three.publishAsync(topic, 'live', { qos: 1 });
        await until('it', () => three.got.length > 0);
        assert.deepEqual(two.got.slice(0, 2), [[topic, 'kept', 1, true], [topic, '', 1, false]]);
        assert.deepEqual(three.got, [[topic, 'live', 1, false]]);
    },
    async 'a will, and none after good-bye'({ connect, topic }) {
        const watcher = await connect();
        await watcher.subscribeAsync(topic, { qos: 2 });
        const will = (payload) => ({ will: { topic, payload, qos: 2, retain: false } });
        await (await connect(will('no'))).endAsync();
        const cut = await connect(will('gone'));
        cut.stream.destroy();
        await until('the will', () => watcher.got.length > 0);
        assert.deepEqual(watcher.got, [[topic, 'gone', 2, false]]);
    },
    async 'a session that is taken up again'({ connect, topic, v5 }) {
        const clientId = `session-${++serial}`;
        const options = { clientId, clean: false, ...(v5 && { properties: { sessionExpiryInterval: 600 } }) };
        const first = await connect(options);
        await first.subscribeAsync(topic, { qos: 2 });
        await first.endAsync();
        const other = await connect();
        for (let n = 0; n < 30; n++) await other.publishAsync(topic, String(n), { qos: (n % 2) + 1 });
        const again = await connect(options);
        await until('thirty', () => again.got.length >= 30);
        for (const qos of [1, 2]) // MQTT.js hands QoS 2 out when it is released, so each QoS has its own order
            assert.deepEqual(again.got.filter((m) => m[2] === qos).map((m) => Number(m[1])), Array.from({ length: 15 }, (unused, n) => 2 * n + qos - 1));
        await again.endAsync();
        const fresh = await connect({ clientId, clean: true });
        await fresh.subscribeAsync(`${topic}/end`, { qos: 1 });
        await other.publishAsync(topic, 'lost', { qos: 1 });
        await other.publishAsync(`${topic}/end`, 'end', { qos: 1 });
        await until('the end', () => fresh.got.length > 0);
        assert.deepEqual(fresh.got.map((m) => m[1]), ['end']);
    },
    async 'payloads: none, many small ones, 200 KiB'({ connect, topic }) {
        const [from, to] = [await connect(), await connect()];
        const got = [];
        to.on('message', (unused, payload) => got.push(payload));
        await to.subscribeAsync(topic, { qos: 1 });
        await from.publishAsync(topic, '', { qos: 1 });
        const big = Buffer.alloc(200 * 1024, 'ab\0\xff', 'latin1');
        await from.publishAsync(topic, big, { qos: 1 });
        for (let n = 0; n < 40; n++) {
            // No more at once than it may send (receive_maximum is 64), and no more on the way than wait for a client (1000).
            await Promise.all(Array.from({ length: 50 }, (unused, m) => from.publishAsync(topic, `small ${50 * n + m}`, { qos: 1 })));
            await until('most of them', () => got.length > 50 * n - 500);
        }
        await until('all', () => got.length >= 2002);
        assert.equal(got[0].length, 0);
        assert(got[1].equals(big));
        assert.deepEqual(got.slice(2).map(String), Array.from({ length: 2000 }, (unused, n) => `small ${n}`));
    },
    async 'keep-alive'({ connect }) {
        const client = await connect({ keepalive: 1 });
        let pongs = 0;
        client.on('packetreceive', (packet) => (pongs += packet.cmd === 'pingresp'));
        await until('three pongs', () => pongs >= 3);
        assert(client.connected);
    },
    async properties({ connect, topic, v5 }) {
        if (!v5) return;
        const to = await connect({ properties: { topicAliasMaximum: 5, receiveMaximum: 3, maximumPacketSize: 1000 } });
        const packets = [];
        to.on('message', (unused, payload, packet) => packets.push(packet));
        await to.subscribeAsync(topic, { qos: 2, properties: { subscriptionIdentifier: 268435455, userProperties: { a: 'b' } } });
        const from = await connect({ properties: { topicAliasMaximum: 5 }, autoAssignTopicAlias: true });
        const properties = {
            payloadFormatIndicator: true, messageExpiryInterval: 100, responseTopic: 'answer/here', contentType: 'text/plain; charset=utf-8',
            correlationData: Buffer.from([0, 1, 255]), userProperties: { k: ['v1', 'v2'], empty: '' },
        };
        for (let n = 0; n < 10; n++) await from.publishAsync(topic, `m${n}`, { qos: n % 3, properties: { ...properties } });
        await from.publishAsync(topic, 'x'.repeat(1100), { qos: 1 }); // larger than it takes
        await from.publishAsync(topic, 'last', { qos: 1 });
        await until('all', () => packets.length >= 11);
        const order = (qos) => packets.filter((p) => p.qos === qos).map((p) => p.payload.toString());
        assert.deepEqual([order(0), order(1), order(2)], [['m0', 'm3', 'm6', 'm9'], ['m1', 'm4', 'm7', 'last'], ['m2', 'm5', 'm8']]);
        for (const packet of packets.filter((p) => p.payload.toString() !== 'last')) {
            const p = packet.properties;
            assert.equal(p.payloadFormatIndicator, true);
            assert.equal(p.responseTopic, 'answer/here');
            assert.equal(p.contentType, properties.contentType);
            assert(Buffer.from(p.correlationData).equals(properties.correlationData));
            assert.deepEqual({ ...p.userProperties }, properties.userProperties);
            assert.equal(p.subscriptionIdentifier, 268435455);
            assert(p.messageExpiryInterval > 90 && p.messageExpiryInterval <= 100);
        }
        const noLocal = await connect();
        await noLocal.subscribeAsync(`${topic}/nl`, { qos: 1, nl: true });
        await noLocal.subscribeAsync(`${topic}/end`, { qos: 1 });
        await noLocal.publishAsync(`${topic}/nl`, 'mine', { qos: 1 });
        await noLocal.publishAsync(`${topic}/end`, 'x', { qos: 1 });
        await until('the end', () => noLocal.got.length > 0);
        assert.deepEqual(noLocal.got.map((m) => m[0]), [`${topic}/end`]);
        const handling = await connect();
        await from.publishAsync(`${topic}/r`, 'kept', { qos: 1, retain: true });
        await handling.subscribeAsync(`${topic}/r`, { qos: 1, rh: 2, rap: true });
        await from.publishAsync(`${topic}/r`, 'live', { qos: 1, retain: true });
        await until('it', () => handling.got.length > 0);
        assert.deepEqual(handling.got, [[`${topic}/r`, 'live', 1, true]]);
    },
};

for (const transport of TRANSPORTS)
    scenario(`MQTT.js over ${transport}, versions 3.1, 3.1.1 and 5`, async (s, t) => {
        const gateway = await everyListener(s);
        await gateway.start();
        for (const version of Object.keys(VERSIONS))
            for (const [name, behave] of Object.entries(behaviours))
                await t.test(`MQTT ${version}: ${name}`, () => behave(dialect(s, gateway, version, transport)));
    });
