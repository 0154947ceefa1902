// cloud.mjs - the cloud: Debian's mosquitto that requires client certificates and keeps nothing, and an observer that
// records what arrives there.
//
// The gateway reaches it through a gate (proxy.mjs) on the port that its configuration names. The gate opens only when
// the observer has subscribed: a broker that has just been started would take messages that nobody sees, and the test
// would count them as lost. TLS is between the gateway and mosquitto.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import mqtt from 'mqtt';
import { Proxy } from './proxy.mjs';
import { canConnect, freePort, start, until, within } from './system.mjs';

export class Cloud {
    static async make(dir, certs, { observe = '#', extra = '', lean = false } = {}) {
        const cloud = new Cloud();
        cloud.dir = dir;
        cloud.certs = certs;
        cloud.observe = observe;
        cloud.lean = lean; // only topic, text and identity: for tests with very many messages
        cloud.brokerPort = await freePort();
        cloud.gate = new Proxy(await freePort(), cloud.brokerPort);
        cloud.messages = []; // {topic, payload, text, id, retain, properties}, in order of arrival
        cloud.log = '';
        cloud.file = path.join(dir, `mosquitto-${cloud.brokerPort}.conf`);
        writeFileSync(cloud.file, `${process.getuid() === 0 ? 'user root\n' : ''}persistence false
max_inflight_messages 0
max_queued_messages 0
listener ${cloud.brokerPort} 127.0.0.1
cafile ${certs.path('ca.crt')}
certfile ${certs.path('server.crt')}
keyfile ${certs.path('server.key')}
require_certificate true
allow_anonymous true
log_type error
log_type warning
log_type notice
${extra}
`);
        return cloud;
    }

    get port() {
        return this.gate.port;
    }

    /** The gateway's "cloud" section, with reconnects that suit a test. */
    config(more = {}) {
        return {
            type: 'mqtt', endpoint: 'localhost', port: this.port, client_id: 'gw-e2e',
            ca: this.certs.path('ca.crt'), cert: this.certs.path('device.crt'), key: this.certs.path('device.key'),
            reconnect: { min: '50ms', max: '300ms' }, report_topic: '', // reports only where they are looked at
            limits: { publishes_per_second: 5000, bytes_per_second: '50MiB', in_flight: 100 },
            ...more,
        };
    }

    record(topic, payload, packet) {
        const id = packet.properties?.userProperties?.['sluice-id'];
        const message = { topic, text: payload.toString(), id };
        if (!this.lean) Object.assign(message, { payload, retain: packet.retain, properties: packet.properties ?? {} });
        this.messages.push(message);
    }

    /** A client of the cloud; by certificate, as everybody there. */
    client(options = {}) {
        return mqtt.connectAsync(`mqtts://127.0.0.1:${this.brokerPort}`, {
            ...this.certs.client(), protocolVersion: 5, reconnectPeriod: 0, ...options,
        }, false);
    }

    async start() {
        this.process = start('/usr/sbin/mosquitto', ['-c', this.file]);
        const child = this.process;
        await until('mosquitto listens', async () => {
            if (child.over) throw new Error(`mosquitto ended:\n${child.log}`);
            return canConnect({ host: '127.0.0.1', port: this.brokerPort });
        });
        // At QoS 0, so that there is nothing to write back: whatever mosquitto had passed on when it is killed is
        // then still read to the last byte.
        this.observer = await this.client();
        this.observer.on('message', (...args) => this.record(...args));
        this.observer.on('error', () => {}); // being killed is no error here
        await this.observer.subscribeAsync(this.observe, { qos: 0 });
        await this.gate.open();
        return this;
    }

    /** The cloud is gone: kill -9, and the port refuses. */
    async kill() {
        if (!this.process) return;
        const seen = this.observer?.connected ? once(this.observer, 'close') : Promise.resolve();
        this.process.kill('SIGKILL');
        await this.process.exited;
        this.log += this.process.log;
        this.process = undefined;
        await within(10000, 'the observer has read to the end', seen);
        await this.observer?.endAsync(true);
        await this.gate.close();
    }

    /** Waits for a message that fits. */
    got(what, test, timeout) {
        return until(`the cloud got ${what}`, () => this.messages.find(test), timeout);
    }
}

/** "gateway/lane/number" in parts. */
export function parseId(id) {
    const parts = /^(.+)\/(alert|normal|telemetry)\/(\d+)$/.exec(id ?? '');
    if (!parts) throw new Error(`not a sluice-id: ${id}`);
    return { gateway: parts[1], lane: parts[2], number: Number(parts[3]) };
}

/** Without repeats; two different messages under one identity are an error. */
export function dedup(messages) {
    const first = new Map();
    for (const m of messages) {
        const known = first.get(m.id);
        if (!m.id) throw new Error(`a message without sluice-id on ${m.topic}: ${m.text}`);
        if (!known) first.set(m.id, m);
        else if (known.topic !== m.topic || known.text !== m.text)
            throw new Error(`${m.id} names two messages: ${known.topic} ${known.text} and ${m.topic} ${m.text}`);
    }
    return [...first.values()];
}

/** The first arrivals of each lane must come with growing numbers. */
export function checkOrder(unique) {
    const last = {};
    for (const m of unique) {
        const { lane, number } = parseId(m.id);
        if (last[lane] >= number) throw new Error(`lane ${lane}: ${number} arrived after ${last[lane]}`);
        last[lane] = number;
    }
}
