// listeners.mjs - a gateway that listens in every way there is, and how each is reached.
import path from 'node:path';
import { certificates } from './scenario.mjs';
import { freePort } from './system.mjs';

/** A gateway with listeners mqtt (the first), mqtts, ws, wss and a Unix socket; `config` as Gateway.make() takes it.
 *  `where[transport]` is the URL and what MQTT.js needs besides. */
export async function everyListener(s, config = {}) {
    const certs = await certificates();
    const port = { tcp: await freePort(), tls: await freePort(), ws: await freePort(), wss: await freePort() };
    const tls = { cert: certs.path('server.crt'), key: certs.path('server.key') };
    const on = { bind: '127.0.0.1' };
    const gateway = await s.gateway({
        listeners: [
            { name: 'tcp', protocol: 'mqtt', ...on, port: port.tcp },
            { name: 'tls', protocol: 'mqtts', ...on, port: port.tls, tls },
            { name: 'ws', protocol: 'ws', ...on, port: port.ws },
            { name: 'wss', protocol: 'wss', ...on, port: port.wss, tls },
            { name: 'unix', protocol: 'mqtt', unix: 'mqtt.sock' },
        ],
        ...config,
    });
    const ca = certs.read('ca.crt');
    const socket = path.join(gateway.dir, 'mqtt.sock');
    gateway.port = port.tcp;
    gateway.ports = port;
    gateway.socket = socket;
    gateway.certs = certs;
    gateway.where = {
        tcp: [`mqtt://127.0.0.1:${port.tcp}`, {}],
        tls: [`mqtts://127.0.0.1:${port.tls}`, { ca }],
        ws: [`ws://127.0.0.1:${port.ws}/mqtt`, {}],
        wss: [`wss://127.0.0.1:${port.wss}/mqtt`, { ca }],
        unix: [`unix://${socket}`, { unixSocket: true, path: socket }],
    };
    return gateway;
}
