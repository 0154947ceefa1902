// restless.mjs - clients that do anything at all, valid or not: for tests that only ask whether everybody else is served.
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import packets from 'mqtt-packet';

/** Choices out of `chance`, a function that returns numbers from 0 to 1. */
export class Dice {
    constructor(chance) {
        this.chance = chance;
    }

    below(n) {
        return Math.floor(this.chance() * n);
    }

    of(list) {
        return list[this.below(list.length)];
    }

    often(p) {
        return this.chance() < p;
    }
}

export const RESTLESS = 8; // client ids that they have, restless-0 and so on
const TOPICS = ['noise/a', 'noise/b', 'noise/a/b', 'noise/', 'noise', 'private/x', `noise/${'l/'.repeat(50)}x`];
const FILTERS = ['noise/#', '#', '+/a', 'noise/+/b', '$share/noise/noise/#', '$share/other/+/+', '$SYS/#', 'private/#', 'noise/a',
    '+', '$share//x', 'a/#/b'];

const properties = (version, some) => (version === 5 ? some : undefined);

function connect(dice, clientId, version) {
    const will = dice.often(0.4) && {
        topic: dice.of(TOPICS), payload: Buffer.from('will'), qos: dice.below(3), retain: dice.often(0.2),
        properties: properties(version, { willDelayInterval: dice.below(3) }),
    };
    return {
        cmd: 'connect', protocolId: 'MQTT', protocolVersion: version, clientId, clean: dice.often(0.3), keepalive: dice.of([0, 1, 60]),
        ...(will ? { will } : {}),
        properties: properties(version, {
            sessionExpiryInterval: dice.below(3), receiveMaximum: 1 + dice.below(5), maximumPacketSize: dice.of([60, 500, 100000]),
            topicAliasMaximum: dice.below(4), requestProblemInformation: dice.often(0.5),
        }),
    };
}

function publish(dice, version) {
    const qos = dice.below(3);
    return {
        cmd: 'publish', topic: dice.of(TOPICS), payload: randomBytes(dice.of([0, 2, 40, 3000])), qos, retain: dice.often(0.3),
        dup: qos > 0 && dice.often(0.1), messageId: qos > 0 ? 1 + dice.below(20) : undefined,
        properties: properties(version, {
            ...(dice.often(0.3) ? { messageExpiryInterval: 1 + dice.below(2) } : {}),
            ...(dice.often(0.2) ? { topicAlias: 1 + dice.below(3) } : {}),
            ...(dice.often(0.2) ? { userProperties: { a: 'b' } } : {}),
        }),
    };
}

function subscribe(dice, version) {
    const subscriptions = Array.from({ length: 1 + dice.below(3) }, () => {
        const topic = dice.of(FILTERS);
        return { topic, qos: dice.below(3), nl: version === 5 && dice.often(0.1), rap: dice.often(0.5), rh: dice.below(3) };
    });
    return { cmd: 'subscribe', messageId: 1 + dice.below(20), subscriptions,
        properties: properties(version, dice.often(0.3) ? { subscriptionIdentifier: 1 + dice.below(300000) } : {}) };
}

function packet(dice, version) {
    const messageId = 1 + dice.below(40);
    switch (dice.below(12)) {
    case 0: return subscribe(dice, version);
    case 1: return { cmd: 'unsubscribe', messageId, unsubscriptions: [dice.of(FILTERS)] };
    case 2: return { cmd: 'pingreq' };
    case 3: return { cmd: dice.of(['puback', 'pubrec', 'pubrel', 'pubcomp']), messageId, reasonCode: 0 };
    case 4: return dice.often(0.2)
        ? { cmd: 'disconnect', reasonCode: dice.of([0, 4]), properties: properties(version, { sessionExpiryInterval: dice.below(3) }) }
        : { cmd: 'pingreq' };
    default: return publish(dice, version);
    }
}

/** Answers what it is sent, mostly. */
function answer(dice, version, p) {
    if (dice.often(0.1)) return undefined;
    const failed = version === 5 && dice.often(0.1) ? 0x97 : 0;
    switch (p.cmd) {
    case 'publish': return p.qos > 0 ? { cmd: p.qos === 1 ? 'puback' : 'pubrec', messageId: p.messageId, reasonCode: failed } : undefined;
    case 'pubrec': return { cmd: 'pubrel', messageId: p.messageId };
    case 'pubrel': return { cmd: 'pubcomp', messageId: p.messageId };
    default: return undefined;
    }
}

/** One connection with one of a few client ids, some of whose bytes may be wrong; resolves when it is over. */
export function restless(where, chance) {
    const dice = new Dice(chance), version = dice.of([4, 5]);
    const options = { protocolVersion: version };
    return new Promise((resolve) => {
        const socket = net.connect(where);
        const parser = packets.parser(options);
        let left = 3 + dice.below(60);
        const send = (p) => {
            try {
                const bytes = packets.generate(p, options);
                if (p.cmd !== 'connect' && dice.often(0.01)) // else its client id would be another
                bytes[dice.below(bytes.length)] = dice.below(256);
                if (socket.writable) socket.write(bytes);
            } catch {
                // not even mqtt-packet makes that
            }
        };
        const timer = setInterval(() => {
            if (left-- > 0) send(packet(dice, version));
            else if (dice.often(0.5)) socket.end();
            else socket.destroy();
        }, 3);
        parser.on('packet', (p) => {
            const reply = answer(dice, version, p);
            if (reply) send(reply);
        });
        parser.on('error', () => {});
        socket.on('connect', () => send(connect(dice, `restless-${dice.below(RESTLESS)}`, version)));
        socket.on('data', (bytes) => dice.often(0.98) && parser.parse(bytes));
        socket.on('error', () => {});
        socket.on('close', () => (clearInterval(timer), resolve()));
        setTimeout(() => socket.destroy(), 3000).unref();
    });
}

/** Random bytes, or a TLS handshake or a WebSocket upgrade that begins well; hangs up at once, later, or never (until
 *  `held` is given up). */
export function garbage(where, chance, held) {
    const dice = new Dice(chance);
    const begin = dice.of([
        Buffer.alloc(0), Buffer.from('160301020001000001fc0303', 'hex'), Buffer.from('GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n'),
        Buffer.from([0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 1, 120]), Buffer.from([0x10, 0xff, 0xff, 0x7f]),
    ]);
    const socket = net.connect(where);
    socket.on('error', () => {}).on('data', () => {});
    socket.write(Buffer.concat([begin, randomBytes(dice.below(300))]));
    if (dice.often(0.1) && held.length < 50) held.push(socket);
    else setTimeout(() => socket.destroy(), dice.of([0, 5, 100])).unref();
}
