// interop_aws.test.mjs - the AWS IoT Device SDK for JavaScript as a device uses it: mutual TLS, MQTT 3.1.1 and 5.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { certificates, scenario } from './lib/scenario.mjs';
import { freePort, until, within } from './lib/system.mjs';

let sdk, why;
try {
    sdk = createRequire(import.meta.url)('aws-iot-device-sdk-v2');
} catch (error) {
    why = `there is no AWS IoT Device SDK (npm ci): ${error.message.split('\n')[0]}`;
}

const text = (payload) => Buffer.from(payload).toString();

async function deviceListener(s) {
    const certs = await certificates();
    const port = await freePort();
    const gateway = await s.gateway({
        listeners: [{
            name: 'devices', protocol: 'mqtts', bind: '127.0.0.1', port,
            tls: { cert: certs.path('server.crt'), key: certs.path('server.key'), ca: certs.path('ca.crt'), client_cert: 'required', username_from_cert: true },
        }],
        access: { anonymous: false },
    });
    await gateway.start();
    return { gateway, certs, port };
}

scenario('the AWS SDK, MQTT 3.1.1', { skip: why }, async (s) => {
    const { certs, port } = await deviceListener(s);
    const { iot, mqtt } = sdk;
    const client = new mqtt.MqttClient();
    const open = async (id, clean = true, will) => {
        const builder = iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(certs.path('device.crt'), certs.path('device.key'));
        builder.with_certificate_authority_from_path(undefined, certs.path('ca.crt'));
        builder.with_endpoint('localhost').with_port(port).with_client_id(id).with_clean_session(clean).with_keep_alive_seconds(30);
        if (will) builder.with_will(will);
        const connection = client.new_connection(builder.build());
        connection.on('error', () => {});
        return { connection, present: await within(10000, 'CONNECT', connection.connect()) };
    };
    const { connection: other } = await open('other');
    const got = [];
    for (const qos of [0, 1]) {
        await other.subscribe(`things/+/q${qos}`, qos, (topic, payload, dup, given, retain) => got.push([topic, text(payload), given, retain]));
        await other.publish(`things/a/q${qos}`, JSON.stringify({ qos }), qos);
    }
    await until('two', () => got.length >= 2);
    assert.deepEqual(got, [['things/a/q0', '{"qos":0}', 0, false], ['things/a/q1', '{"qos":1}', 1, false]]);
    // A session that outlives its connection; publishes that wait for the answer.
    const first = await open('device-01', false);
    await first.connection.subscribe('cmd/device-01/#', mqtt.QoS.AtLeastOnce, () => {});
    await first.connection.disconnect();
    for (let n = 0; n < 10; n++) await other.publish('cmd/device-01/x', String(n), mqtt.QoS.AtLeastOnce);
    const again = client.new_connection((() => {
        const builder = iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(certs.path('device.crt'), certs.path('device.key'));
        builder.with_certificate_authority_from_path(undefined, certs.path('ca.crt'));
        return builder.with_endpoint('localhost').with_port(port).with_client_id('device-01').with_clean_session(false).build();
    })());
    const commands = [];
    again.on('message', (topic, payload) => commands.push(text(payload)));
    assert.equal(await within(10000, 'CONNECT', again.connect()), true, 'the session is there');
    await until('ten', () => commands.length >= 10);
    assert.deepEqual(commands, Array.from({ length: 10 }, (unused, n) => String(n)));
    await other.publish('large', 'x'.repeat(128000), mqtt.QoS.AtLeastOnce);
    await other.unsubscribe('things/+/q1');
    await Promise.all(Array.from({ length: 500 }, (unused, n) => other.publish('many', String(n), mqtt.QoS.AtLeastOnce)));
    await again.disconnect();
    await other.disconnect();
});

scenario('the AWS SDK, MQTT 5', { skip: why }, async (s) => {
    const { gateway, certs, port } = await deviceListener(s);
    const { iot, mqtt5 } = sdk;
    const open = async (id, more = {}) => {
        const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath('localhost', certs.path('device.crt'), certs.path('device.key'));
        builder.withCertificateAuthorityFromPath(undefined, certs.path('ca.crt'));
        builder.withPort(port);
        builder.withConnectProperties({ clientId: id, keepAliveIntervalSeconds: 30, ...more });
        const client = new mqtt5.Mqtt5Client(builder.build());
        client.got = [];
        client.on('messageReceived', ({ message }) => client.got.push(message));
        client.on('error', () => {});
        const connected = new Promise((resolve, reject) => {
            client.once('connectionSuccess', resolve);
            client.once('connectionFailure', ({ error }) => reject(error));
        });
        const stopped = new Promise((resolve) => client.once('stopped', resolve));
        client.end = async () => {
            client.stop();
            await within(10000, 'the end', stopped);
            client.close();
        };
        client.start();
        client.settings = (await within(10000, 'CONNECT', connected)).settings;
        return client;
    };
    const [a, b] = [await open('a', { receiveMaximum: 5 }), await open('b')];
    assert.equal(a.settings.maximumQos, 1); // the SDK has no QoS 2
    assert.equal(a.settings.retainAvailable, true);
    assert.equal(a.settings.sharedSubscriptionsAvailable, true);
    await a.subscribe({ subscriptions: [{ topicFilter: 'v5/#', qos: 1, noLocal: true }], subscriptionIdentifier: 9 });
    const sent = await b.publish({
        topicName: 'v5/x', payload: 'hello', qos: 1, contentType: 'text/plain', responseTopic: 'answer', correlationData: Buffer.from('c'),
        userProperties: [{ name: 'k', value: 'v' }, { name: 'k', value: 'w' }], messageExpiryIntervalSeconds: 60, payloadFormat: 1,
    });
    assert.equal(sent.reasonCode, 0);
    await until('it', () => a.got.length > 0);
    const [m] = a.got;
    assert.deepEqual([m.topicName, text(m.payload), m.qos, m.contentType, m.responseTopic], ['v5/x', 'hello', 1, 'text/plain', 'answer']);
    assert.deepEqual(m.userProperties.map((p) => [p.name, p.value]), [['k', 'v'], ['k', 'w']]);
    assert.deepEqual([...m.subscriptionIdentifiers], [9]);
    const nobody = await b.publish({ topicName: 'nobody/here', payload: 'x', qos: 1 });
    assert.equal(nobody.reasonCode, 16, 'no matching subscribers');
    await Promise.all(Array.from({ length: 300 }, (unused, n) => b.publish({ topicName: 'v5/many', payload: String(n), qos: n % 2 })));
    await until('all', () => a.got.length >= 301);
    assert.deepEqual((await a.unsubscribe({ topicFilters: ['v5/#', 'never'] })).reasonCodes, [0, 17]);
    // A name of its own for each, from the certificate.
    assert.equal((await gateway.status()).broker.clients, 2);
    await a.end();
    await b.end();
});
