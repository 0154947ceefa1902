// scenario.mjs - a test with a folder of its own, whose programs are ended and looked at when it is over.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import mqtt from 'mqtt';
import { Certs } from './certs.mjs';
import { Cloud } from './cloud.mjs';
import { Gateway, SLUICE } from './gateway.mjs';
import { run, start } from './system.mjs';

const LOG_SHOWN = 6000;
const root = mkdtempSync(path.join(os.tmpdir(), 'sluice-e2e-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));

let certs;
/** The certificates are shared by all scenarios of a file. */
export const certificates = () => (certs ??= Certs.make(path.join(root, 'certs')));

class Scenario {
    constructor(t) {
        this.t = t;
        this.dir = mkdtempSync(path.join(root, 's-'));
        this.gateways = [];
        this.clouds = [];
        this.ends = [];
    }

    /** Done at the end, the last first. */
    defer(end) {
        this.ends.push(end);
    }

    async gateway(config, { dir = `gateway${this.gateways.length}` } = {}) {
        const gateway = await Gateway.make(path.join(this.dir, dir), config);
        this.gateways.push(gateway);
        return gateway;
    }

    async cloud(options) {
        const cloud = await Cloud.make(this.dir, await certificates(), options);
        this.clouds.push(cloud);
        return cloud;
    }

    /** An MQTT.js client that does not come back by itself. `where`: a gateway, or a URL. From its first moment on `got`
     *  collects what arrives: [topic, text, qos, retain] each. */
    async client(where, options = {}) {
        const url = typeof where === 'string' ? where : `mqtt://127.0.0.1:${where.port}`;
        const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10000, ...options });
        client.got = [];
        client.on('message', (topic, payload, packet) => client.got.push([topic, payload.toString(), packet.qos, packet.retain]));
        this.defer(() => client.endAsync(true));
        await new Promise((resolve, reject) => {
            client.once('connect', resolve);
            client.on('error', reject); // later ones show in the promises of what was asked for
            client.once('close', () => reject(new Error(`${url}: the connection was closed`)));
        });
        return client;
    }

    /** mosquitto_pub to its end. */
    pub(gateway, ...args) {
        return run('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(gateway.port), ...args]);
    }

    /** mosquitto_sub in the background; `lines` is what it printed so far. */
    sub(gateway, ...args) {
        const child = start('mosquitto_sub', ['-h', '127.0.0.1', '-p', String(gateway.port), ...args]);
        Object.defineProperty(child, 'lines', { get: () => child.log.split('\n').slice(0, -1) });
        this.defer(() => child.over || (child.kill('SIGKILL'), child.exited));
        return child;
    }

    async finish() {
        let failure;
        const attempt = async (end) => {
            try {
                await end();
            } catch (error) {
                failure ??= error;
            }
        };
        for (const end of this.ends.reverse()) await attempt(end);
        for (const gateway of this.gateways) await attempt(() => gateway.stop());
        for (const cloud of this.clouds) await attempt(() => cloud.kill());
        for (const gateway of this.gateways) await attempt(() => gateway.kill());
        if (failure) throw failure;
    }

    logs() {
        const parts = [];
        for (const gateway of this.gateways) parts.push(`---- log of ${gateway.file}`, gateway.allLog.slice(-LOG_SHOWN));
        for (const cloud of this.clouds) parts.push('---- log of mosquitto', (cloud.log + (cloud.process?.log ?? '')).slice(-LOG_SHOWN));
        return parts.join('\n');
    }
}

/** scenario(name, [options], async (s, t) => ...): a node:test test. */
export function scenario(name, ...rest) {
    const body = rest.pop();
    const options = { timeout: 120000, ...rest[0] };
    if (!SLUICE) throw new Error('the environment variable SLUICE must name the program');
    test(name, options, async (t) => {
        const s = new Scenario(t);
        let failure;
        try {
            await body(s, t);
        } catch (error) {
            failure = error;
        }
        try {
            await s.finish();
        } catch (error) {
            failure ??= error;
        }
        if (failure) {
            process.stderr.write(`${s.logs()}\n`);
            throw failure;
        }
    });
}
