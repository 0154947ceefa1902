// refusals.test.mjs - who is refused is told why: a client by a reason code, a second gateway by a message.
import assert from 'node:assert/strict';
import net from 'node:net';
import path from 'node:path';
import { Gateway } from './lib/gateway.mjs';
import { scenario } from './lib/scenario.mjs';
import { within } from './lib/system.mjs';

/** Sends bytes; what the other side answered until it closed. */
function ask(port, bytes) {
    const answer = new Promise((resolve) => {
        const parts = [];
        const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes));
        socket.on('data', (data) => parts.push(data));
        socket.on('error', () => {});
        socket.on('close', () => resolve(Buffer.concat(parts)));
    });
    return within(10000, 'the broker closes the connection', answer);
}

/** The reason of the DISCONNECT that ends a run of MQTT 5 packets. */
function disconnectReason(bytes) {
    let reason;
    for (let at = 0; at < bytes.length; ) {
        let length = 0, shift = 0, next = at + 1;
        do {
            length |= (bytes[next] & 0x7f) << shift;
            shift += 7;
        } while (bytes[next++] & 0x80);
        if (bytes[at] === 0xe0) reason = bytes[next];
        at = next + length;
    }
    return reason;
}

const connect = '101100044d5154540502003c00000474657374';

for (const [name, packet, reason] of [
    ['reserved bits in SUBSCRIBE', '800700010000016101', 0x81],
    ['QoS 3', '3606000161000100', 0x81],
    ['a wildcard in a topic', '300400012300', 0x90],
    ['a second CONNECT', connect, 0x82],
    ['a packet above max_packet_size', '30ffffff7f', 0x95],
    ['a packet that only servers send', '20020000', 0x82],
    ['a topic alias above the maximum', '30080001610323ffff78', 0x94],
]) {
    scenario(`${name} is answered with reason 0x${reason.toString(16)}`, async (s) => {
        const gateway = await s.gateway({});
        await gateway.start();
        assert.equal(disconnectReason(await ask(gateway.port, Buffer.from(connect + packet, 'hex'))), reason);
        const sent = await s.pub(gateway, '-q', '1', '-t', 'still/works', '-m', 'x');
        assert.equal(sent.code, 0, sent.stderr);
    });
}

scenario('two gateways do not share a data_dir', async (s) => {
    const first = await s.gateway({});
    await first.start();
    const second = await Gateway.make(path.join(s.dir, 'second'), { gateway: { id: 'two', data_dir: first.data } });
    const child = second.spawn();
    assert.equal((await within(10000, 'the end', child.exited)).code, 1);
    assert.match(child.log, /data_dir/);
    assert.equal((await first.status()).gateway.id, 'e2e');
});
