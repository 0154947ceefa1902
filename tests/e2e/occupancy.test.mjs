// occupancy.test.mjs - thousands of real readings through filter rules, the cloud killed in the middle. What arrives is
// compared, message by message, with what the rules must give, computed here from the file without the gateway's help.
//
// Four rooms replay room-occupancy.csv, each from another row on. The file is looked for in $SLUICE_SHARED/data, else
// in shared/data beside the source.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkOrder, dedup, parseId } from './lib/cloud.mjs';
import { scenario } from './lib/scenario.mjs';
import { until } from './lib/system.mjs';

const source = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const FILE = path.join(process.env.SLUICE_SHARED ?? path.join(source, '../shared'), 'data/room-occupancy.csv');
const ROOMS = [
    { name: 'lobby', start: 0, version: 5 },
    { name: 'office', start: 900, version: 4 },
    { name: 'lab', start: 2650, version: 5 },
    { name: 'attic', start: 7000, version: 4 }, // runs over the file's end
];
const ROWS = 2000; // of each room
const IN_FLIGHT = 20; // of each room

const rules = [
    {
        name: 'stuffy',
        sql: 'SELECT topic(2) AS room, n, co2, humidity_ratio, temperature * 1.8 + 32 AS fahrenheit '
            + "FROM 'building/+/air' WHERE co2 > 800 AND occupancy = 1",
        to: [{ cloud: 'stuffy/${gateway}/${room}' }],
    },
    {
        name: 'alarm',
        sql: "SELECT topic(2) AS room, n, time FROM 'building/+/air' WHERE co2 > 1200",
        to: [{ cloud: 'alarm/${room}', lane: 'alert' }],
    },
    {
        name: 'bright',
        sql: "SELECT *, topic(2) AS room FROM 'building/+/air' WHERE light > 400",
        to: [{ local: 'bright/${room}', qos: 1 }],
    },
];

/** {time, temperature, ...} with the texts of the file. */
function readRows() {
    const [head, ...lines] = readFileSync(FILE, 'utf8').trim().split(/\r?\n/);
    const names = head.split(',');
    return lines.map((line) => Object.fromEntries(line.split(',').map((text, i) => [names[i], text])));
}

/** A room's messages, numbered; the numbers in `text` are written as in the file. */
function messagesOf(room, rows) {
    return Array.from({ length: ROWS }, (unused, n) => {
        const row = rows[(room.start + n) % rows.length];
        const value = (name) => (name === 'time' ? JSON.stringify(row[name]) : row[name]);
        const values = Object.keys(row).map((name) => `"${name}":${value(name)}`);
        return { room: room.name, n, row, text: `{"n":${n},${values.join()}}` };
    });
}

/** t * 1.8 + 32, exact in decimal as the rules' arithmetic is, up to its limit of nine decimals. */
function fahrenheit(t) {
    const decimals = t.split('.')[1]?.length ?? 0;
    if (decimals > 9) return Number(t) * 1.8 + 32;
    const scaled = BigInt(t.replace('.', '')) * 18n + 32n * 10n ** BigInt(decimals + 1);
    return Number(`${scaled}e-${decimals + 1}`);
}

/** What the rules must make of one message: {rule, topic, text} each. */
function expectedOf({ room, n, row, text }) {
    const co2 = Number(row.co2), outputs = [];
    const add = (rule, topic, output) => outputs.push({ rule, topic, text: JSON.stringify(output) });
    if (co2 > 800 && row.occupancy === '1') {
        const humidity_ratio = Number(row.humidity_ratio);
        add('stuffy', `stuffy/e2e/${room}`, { room, n, co2, humidity_ratio, fahrenheit: fahrenheit(row.temperature) });
    }
    if (co2 > 1200) add('alarm', `alarm/${room}`, { room, n, time: row.time });
    if (Number(row.light) > 400) add('bright', `bright/${room}`, { ...JSON.parse(text), room });
    return outputs;
}

const pair = ({ topic, text }) => `${topic} ${text}`;

/** All the messages are there as often as they should be, and each room's in order. */
function checkSame(what, prefix, arrived, wanted) {
    assert.deepEqual(arrived.map(pair).sort(), wanted.map(pair).sort(), `the messages of ${what}`);
    for (const { name } of ROOMS) {
        const of = (messages) => messages.filter((m) => m.topic === `${prefix}${name}`).map(pair);
        assert.deepEqual(of(arrived), of(wanted), `${what} in the order of ${name}`);
    }
}

/** Publishes a room's messages with a window; resolves when all are acknowledged. */
async function publish(client, messages, progress) {
    let next = 0;
    const one = async () => {
        while (next < messages.length) {
            const m = messages[next++];
            await client.publishAsync(`building/${m.room}/air`, m.text, { qos: 1 });
            progress.acknowledged++;
        }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, one));
}

/** A subscriber that notes every arrival. */
async function subscribe(s, gateway, filter) {
    const arrived = [];
    const client = await s.client(gateway, { protocolVersion: 5 });
    client.on('message', (topic, payload) => arrived.push({ topic, text: payload.toString() }));
    await client.subscribeAsync(filter, { qos: 1 });
    return arrived;
}

function checkCloud(messages, expected) {
    const unique = dedup(messages);
    checkOrder(unique);
    const ways = [['stuffy', 'stuffy/e2e/', 'telemetry'], ['alarm', 'alarm/', 'alert']];
    for (const [rule, prefix, lane] of ways) {
        const mine = unique.filter((m) => m.topic.startsWith(prefix));
        mine.forEach((m) => assert.equal(parseId(m.id).lane, lane));
        checkSame(rule, prefix, mine, expected.filter((m) => m.rule === rule));
    }
    assert.equal(unique.length, expected.filter((m) => m.rule !== 'bright').length);
}

function checkCounts(status, expected) {
    const total = ROOMS.length * ROWS;
    const count = (rule) => expected.filter((m) => m.rule === rule).length;
    for (const rule of status.rules) {
        const wanted = count(rule.name);
        assert.deepEqual([rule.in, rule.kept, rule.out, rule.errors], [total, wanted, wanted, 0], rule.name);
    }
    for (const [lane, rule] of [['telemetry', 'stuffy'], ['alert', 'alarm']]) {
        const { accepted, delivered, waiting, lost } = status.store.lanes.find((l) => l.name === lane);
        const wanted = count(rule);
        assert.deepEqual([accepted, delivered, waiting, lost], [wanted, wanted, 0, 0], lane);
    }
}

const missing = existsSync(FILE) ? false : `there is no ${FILE}`;

scenario('thousands of real readings, the cloud killed in the middle', { skip: missing }, async (s, t) => {
    const rows = readRows();
    const rooms = ROOMS.map((room) => messagesOf(room, rows));
    const expected = rooms.flat().flatMap(expectedOf);
    const cloud = await s.cloud({ lean: true });
    await cloud.start();
    const gateway = await s.gateway({
        rules,
        broker: { max_queued_messages: 10000, max_queued_bytes: '16MiB' },
        store: { spill_after: '20ms' },
        cloud: cloud.config({ limits: { publishes_per_second: 100000, bytes_per_second: '100MiB', in_flight: 200 } }),
    });
    await gateway.start();
    await gateway.cloudIs('online');
    const bright = await subscribe(s, gateway, 'bright/#');
    const connect = (room) => s.client(gateway, { clientId: room.name, protocolVersion: room.version });
    const clients = await Promise.all(ROOMS.map(connect));
    const progress = { acknowledged: 0 };
    const publishAll = (from, to) =>
        Promise.all(rooms.map((messages, i) => publish(clients[i], messages.slice(from, to), progress)));

    const third = Math.floor(ROWS / 3);
    const work = publishAll(0, 2 * third);
    await until('a quarter of it is acknowledged', () => progress.acknowledged >= (third * ROOMS.length) / 2, 30000);
    await cloud.kill();
    const before = cloud.messages.length;
    await work;
    await gateway.cloudIs('offline');
    const waiting = (await gateway.status()).store.messages;
    assert(before > 0 && waiting > 0, `${before} had arrived, ${waiting} wait: the cloud was to be killed in the middle`);
    const rest = publishAll(2 * third, ROWS);
    await cloud.start();
    await rest;
    assert.equal(progress.acknowledged, ROWS * ROOMS.length);
    await gateway.drained(30000);
    const toCloud = expected.filter((m) => m.rule !== 'bright').length;
    await cloud.got('all of them', () => new Set(cloud.messages.map((m) => m.id)).size >= toCloud);

    t.diagnostic(`${progress.acknowledged} readings, ${toCloud} for the cloud: ${before} before it was killed, `
        + `${waiting} waited, ${cloud.messages.length - toCloud} came twice`);
    checkCloud(cloud.messages, expected);
    const wanted = expected.filter((m) => m.rule === 'bright');
    await until('the local messages', () => bright.length >= wanted.length);
    checkSame('bright', 'bright/', bright, wanted);
    checkCounts(await gateway.status(), expected);
});
