// occupancy.test.mjs - real readings as four rooms through a filter rule, the cloud cut in the middle and restored; what
// arrives is compared, message by message, with what the rule must give, computed here.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkOrder, dedup, parseId } from './lib/cloud.mjs';
import { scenario } from './lib/scenario.mjs';
import { until } from './lib/system.mjs';

const source = process.env.SLUICE_SOURCE ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const shared = process.env.SLUICE_SHARED ?? path.join(source, '../shared');
const file = path.join(shared, 'data/room-occupancy.csv');
const skip = existsSync(file) ? false : `${file} is not there (SLUICE_SHARED names its folder)`;

const ROOMS = ['office', 'library', 'workshop', 'hall'];
const ROWS = 2000; // of each room

/** The readings as numbers; room r begins at its quarter of the file, so that all four differ. */
function readings() {
    const [head, ...lines] = readFileSync(file, 'utf8').trim().split('\n');
    const names = head.split(',');
    const rows = lines.map((line) => {
        const row = Object.fromEntries(line.split(',').map((value, i) => [names[i], names[i] === 'time' ? value : Number(value)]));
        return row;
    });
    const start = (room) => Math.floor((room * rows.length) / ROOMS.length) + 17 * room;
    return ROOMS.map((unused, room) => Array.from({ length: ROWS }, (none, n) => rows[(start(room) + n) % rows.length]));
}

const rules = [
    {
        name: 'in-use', sql: "SELECT topic(2) AS room, time, temperature, co2 FROM 'site/+/air' WHERE occupancy = 1 AND co2 > 600",
        to: [{ cloud: 'rooms/${gateway}/${room}' }],
    },
    {
        name: 'stuffy', sql: "SELECT topic(2) AS room, time, co2 FROM 'site/+/air' WHERE co2 > 1000",
        to: [{ cloud: 'alerts/${gateway}/${room}', lane: 'alert' }],
    },
];

/** What the rules must make of one reading. */
function expected(room, { time, temperature, co2, occupancy }) {
    const out = [];
    if (occupancy === 1 && co2 > 600) out.push({ lane: 'telemetry', topic: `rooms/e2e/${room}`, payload: { room, time, temperature, co2 } });
    if (co2 > 1000) out.push({ lane: 'alert', topic: `alerts/e2e/${room}`, payload: { room, time, co2 } });
    return out;
}

scenario('four rooms of real readings, with an outage in the middle', { skip, timeout: 240000 }, async (s, t) => {
    const rooms = readings();
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await s.gateway({ rules, store: { spill_after: '50ms' }, cloud: cloud.config() });
    await gateway.start();
    await gateway.cloudIs('online');

    let sent = 0;
    const total = ROOMS.length * ROWS;
    const publish = async (room) => {
        const client = await s.client(gateway, { protocolVersion: room % 2 ? 4 : 5, clientId: ROOMS[room] });
        const window = new Set();
        for (const reading of rooms[room]) {
            while (window.size >= 16) await Promise.race(window);
            const one = client.publishAsync(`site/${ROOMS[room]}/air`, JSON.stringify(reading), { qos: 1 });
            window.add(one);
            one.then(() => (window.delete(one), sent++));
        }
        await Promise.all(window);
    };
    const outage = async () => {
        await until('a third is sent', () => sent > total / 3, 60000);
        await cloud.kill();
        await until('two thirds are sent', () => sent > (2 * total) / 3, 60000);
        const waiting = (await gateway.status()).store.messages;
        assert(waiting > 0, 'messages wait while the cloud is away');
        await cloud.start();
        return waiting;
    };
    const [waiting] = await Promise.all([outage(), ...ROOMS.map((unused, room) => publish(room))]);
    assert.equal(sent, total, 'every reading was acknowledged');
    await gateway.drained(60000);

    const want = { alert: {}, telemetry: {} };
    ROOMS.forEach((room, i) => rooms[i].flatMap((reading) => expected(room, reading)).forEach(({ lane, topic, payload }) =>
        (want[lane][topic] ??= []).push(payload)));
    const unique = dedup(cloud.messages);
    checkOrder(unique);
    const got = { alert: {}, telemetry: {} };
    for (const m of unique) (got[parseId(m.id).lane][m.topic] ??= []).push(JSON.parse(m.text));
    for (const lane of Object.keys(want)) {
        assert.deepEqual(Object.keys(got[lane]).sort(), Object.keys(want[lane]).sort(), `topics of lane ${lane}`);
        for (const topic of Object.keys(want[lane])) assert.deepEqual(got[lane][topic], want[lane][topic], topic);
    }
    const count = Object.values(want).flatMap((lane) => Object.values(lane)).reduce((sum, list) => sum + list.length, 0);
    assert.equal(unique.length, count);
    const { store, rules: counted } = await gateway.status();
    assert.deepEqual(counted.map((rule) => rule.in), [total, total]);
    assert.equal(counted.reduce((sum, rule) => sum + rule.kept, 0), count);
    for (const lane of store.lanes) assert.deepEqual([lane.lost, lane.waiting], [0, 0], lane.name);
    t.diagnostic(`${total} readings, ${count} messages, ${waiting} of them waiting at the end of the outage, ` +
        `${cloud.messages.length - count} repeats`);
});
