// outage.test.mjs - long outages in fast motion: a store that fills to its bounds, a disk that is full, read-only, or gone.
//
// An outage of a month differs from one of seconds by how much waits, not by how long: so the bounds are small and the
// messages fast. Whatever happens, the ledger adds up, the bounds hold, and what is acknowledged is either in the cloud in
// the end or in the ledger of losses, with its reason; where the disk is at fault it is in the cloud.
import assert from 'node:assert/strict';
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe } from 'node:test';
import { checkOrder, dedup, parseId } from './lib/cloud.mjs';
import { fill, mountSmall, needsRoot, remount } from './lib/disk.mjs';
import { checkLedger, flowRules, sum } from './lib/flow.mjs';
import { scenario } from './lib/scenario.mjs';
import { freePort, sleep, until } from './lib/system.mjs';

const LANES = ['alert', 'normal', 'telemetry'];
const MAX_BYTES = 512 * 1024;
const IN_FLIGHT = 60;
const PAD = 'x'.repeat(200);

async function gatewayAt(s, cloud, store, more = {}) {
    const gateway = await s.gateway({
        rules: flowRules,
        broker: { persistence: false },
        store,
        cloud: cloud.config({ report_after: '1h' }), // reports of outages are messages too: none here
        web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
        ...more,
    });
    return gateway;
}

/** Publishes numbers, with several under way, and remembers what became of each. */
class Sender {
    constructor(client) {
        Object.assign(this, { client, next: { alert: 0, normal: 0, telemetry: 0 }, acknowledged: [], refused: [], reasons: new Set() });
    }

    async one(lane) {
        const n = this.next[lane]++;
        try {
            await this.client.publishAsync(`flow/${lane}`, JSON.stringify({ n, pad: PAD }), { qos: 1 });
            this.acknowledged.push([lane, n]);
        } catch (error) {
            this.refused.push([lane, n]);
            this.reasons.add(error.code ?? error.message);
        }
    }

    /** `count` messages, or until `enough()`; lanes(k) says which lane the k-th goes to. */
    async send(count, { lanes = () => 'telemetry', enough = () => false } = {}) {
        let k = 0;
        const worker = async () => {
            while (k < count && !enough()) await this.one(lanes(k++));
        };
        await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
    }

    of(list, lane) {
        return list.filter(([l]) => l === lane).map(([, n]) => n);
    }
}

const status = async (gateway) => JSON.parse((await gateway.http('/api/v1/status')).text);
const lost = (lane, reason) => lane.losses.find((l) => l.reason === reason)?.count ?? 0;
const laneOf = (store, name) => store.lanes.find((l) => l.name === name);
const arrived = (cloud, lane) =>
    dedup(cloud.messages).filter((m) => parseId(m.id).lane === lane).map((m) => JSON.parse(m.text).n);

/** Looks at the bounds, again and again, until `state.over`; returns the most that was seen. */
async function watchBounds(gateway, state, max) {
    const most = { bytes: 0, fileBytes: 0, rss: 0 };
    while (!state.over) {
        const { store, gateway: process } = await status(gateway);
        checkLedger(store);
        most.bytes = Math.max(most.bytes, store.bytes);
        most.fileBytes = Math.max(most.fileBytes, store.file_bytes);
        most.rss = Math.max(most.rss, process.rss_bytes);
        assert(store.bytes <= max, `${store.bytes} bytes wait, the bound is ${max}`);
        await sleep(30);
    }
    return most;
}

/** Every lane's end: nothing waits, and what arrived is what was accepted without what was lost, in order. */
async function settled(t, gateway, cloud, sender, { killedOnline = false, readable = true } = {}) {
    await gateway.drained(60000);
    const { store } = await status(gateway);
    checkLedger(store);
    await until('what was delivered has been seen', () => dedup(cloud.messages).length >= sum(store, 'delivered'), 10000);
    if (readable) checkOrder(dedup(cloud.messages)); // what lies on a disk that cannot be opened cannot be sent first
    for (const lane of store.lanes) {
        const numbers = arrived(cloud, lane.name);
        // What was delivered from memory in the last moment before kill -9 may not have been counted yet.
        if (killedOnline) assert(numbers.length >= lane.accepted - lane.lost, lane.name);
        else assert.equal(numbers.length, lane.accepted - lane.lost, lane.name);
        const missing = new Set(sender.of(sender.acknowledged, lane.name));
        for (const n of numbers) missing.delete(n);
        assert(missing.size <= lane.lost, `${lane.name}: ${missing.size} acknowledged ones are missing, the ledger has ${lane.lost}`);
    }
    t.diagnostic(store.lanes.map((l) => `${l.name}: accepted ${l.accepted}, delivered ${l.delivered}, lost ${l.lost}`).join('; '));
    return store;
}

const mixed = (k) => (k % 50 === 0 ? 'alert' : k % 20 === 1 ? 'normal' : 'telemetry');

/** An outage that brings several times what the store may hold, then the cloud. */
function fills(policy, check) {
    scenario(`a store that fills: ${policy}`, async (s, t) => {
        const cloud = await s.cloud({ observe: 'up/#', lean: true });
        const gateway = await gatewayAt(s, cloud, { max_bytes: MAX_BYTES, when_full: policy, spill_after: '20ms' });
        await gateway.start();
        const sender = new Sender(await s.client(gateway, { protocolVersion: 5 }));
        const watch = { over: false };
        const watching = watchBounds(gateway, watch, MAX_BYTES);
        watching.catch(() => {});
        await sender.send(6000, { lanes: mixed });
        watch.over = true;
        const most = await watching;
        const full = (await status(gateway)).store;
        t.diagnostic(`at most ${most.bytes} bytes waiting, ${most.fileBytes} in files; ${sender.acknowledged.length} acknowledged, ` +
            `${sender.refused.length} refused`);
        // Rows take more than they are counted for, and the log holds some of them once more.
        assert(most.fileBytes < 2 * MAX_BYTES + 6 * 1024 * 1024, `${most.fileBytes} bytes in files`);
        assert(sum(full, 'lost') + sender.refused.length > 2000, 'it was full');
        await sleep(1500); // losses of what was never on the disk are written within a second
        await gateway.kill();
        await gateway.start();
        await until('the store is open', async () => (await status(gateway)).store.messages > 0);
        const after = (await status(gateway)).store;
        assert.deepEqual([sum(after, 'lost'), after.messages], [sum(full, 'lost'), full.messages], 'as it was before kill -9');
        await cloud.start();
        check(await settled(t, gateway, cloud, sender), sender, cloud);
    });
}

const isTail = (numbers, last) => numbers.length > 0 && numbers.at(-1) === last &&
    numbers.every((n, i) => i === 0 || n === numbers[i - 1] + 1);

describe('the store is full', { concurrency: 2 }, () => {
    fills('drop-oldest', (store, sender, cloud) => {
        assert.equal(sender.refused.length, 0);
        assert.equal(laneOf(store, 'alert').lost, 0, 'no alert goes while there is telemetry');
        assert.equal(lost(laneOf(store, 'telemetry'), 'full'), laneOf(store, 'telemetry').lost);
        assert(isTail(arrived(cloud, 'telemetry'), sender.next.telemetry - 1), 'the newest stayed');
    });
    fills('drop-newest', (store, sender, cloud) => {
        const kept = arrived(cloud, 'telemetry');
        assert.deepEqual(kept.slice(0, 100), Array.from({ length: 100 }, (unused, n) => n), 'the oldest stayed');
        assert.equal(sender.refused.length, 0, 'what would be lost again is not to be sent again');
        for (const lane of store.lanes) assert.equal(lost(lane, 'full'), lane.lost);
    });
    fills('refuse', (store, sender, cloud) => {
        assert.equal(sum(store, 'lost'), 0, 'what is refused is not lost');
        assert.deepEqual([...sender.reasons], [0x97]);
        for (const lane of LANES) assert.deepEqual(arrived(cloud, lane).sort((a, b) => a - b),
            sender.of(sender.acknowledged, lane).sort((a, b) => a - b), 'exactly what was acknowledged');
    });
    fills('thin', (store, sender, cloud) => {
        const telemetry = laneOf(store, 'telemetry');
        assert.equal(laneOf(store, 'alert').lost, 0);
        assert(lost(telemetry, 'thinned') > 1000, JSON.stringify(telemetry.losses));
        const kept = arrived(cloud, 'telemetry');
        const last = sender.next.telemetry - 1;
        assert.equal(kept.at(-1), last);
        // The newest are all there, the oldest lie apart, and something is left of the beginning's half.
        assert(isTail(kept.slice(-200), last), 'the newest quarter is whole');
        assert(kept[0] < last / 2, `the oldest that is left is ${kept[0]} of ${last}`);
    });
});

scenario('refuse: a 3.1.1 publisher can only be told so by closing; it comes back until there is room', async (s, t) => {
    const cloud = await s.cloud({ observe: 'up/#', lean: true });
    const gateway = await gatewayAt(s, cloud, { max_bytes: 64 * 1024, when_full: 'refuse' });
    await gateway.start();
    const sender = new Sender(await s.client(gateway, { protocolVersion: 5 }));
    await sender.send(2000, { enough: () => sender.refused.length > 0 });
    const old = new Sender(await s.client(gateway, { protocolVersion: 4, clientId: 'old', reconnectPeriod: 300 }));
    let closed = 0;
    old.client.on('close', () => closed++);
    const publish = old.one('alert');
    await until('its connection was closed twice', () => closed >= 2);
    assert.equal(old.acknowledged.length, 0);
    await cloud.start();
    await publish; // by MQTT.js, which sends again what is not acknowledged
    assert.deepEqual(old.acknowledged.length + old.refused.length, 1);
    sender.acknowledged.push(...old.acknowledged);
    await gateway.drained();
    await until('it is in the cloud', () => arrived(cloud, 'alert').length === 1);
    await settled(t, gateway, cloud, sender);
});

scenario('an outage that is longer than max_age: the oldest go, and are counted as that', async (s, t) => {
    const cloud = await s.cloud({ observe: 'up/#', lean: true });
    const gateway = await gatewayAt(s, cloud, { max_age: '3s' });
    await gateway.start();
    const sender = new Sender(await s.client(gateway, { protocolVersion: 5 }));
    await sender.send(500, { lanes: mixed });
    await until('they are too old', async () => sum((await status(gateway)).store, 'lost') === 500);
    await sender.send(200, { lanes: mixed });
    await cloud.start();
    const store = await settled(t, gateway, cloud, sender);
    assert.equal(store.lanes.reduce((all, lane) => all + lost(lane, 'age'), 0), 500);
});

// ---- the disk ----

/** A gateway whose data lies on a tmpfs of its own. */
async function onTmpfs(s, t, size, store = {}) {
    const cloud = await s.cloud({ observe: 'up/#', lean: true });
    const gateway = await gatewayAt(s, cloud, { spill_after: '20ms', ...store });
    const disk = gateway.data;
    const why = await mountSmall(s, gateway, size);
    if (why) return t.skip(why), undefined;
    await gateway.start();
    const sender = new Sender(await s.client(gateway, { protocolVersion: 5 }));
    return { cloud, gateway, disk, sender, hog: path.join(disk, 'hog') };
}

/** What was acknowledged is in the cloud, all of it: a disk is no excuse. */
function allThere({ cloud, sender }) {
    for (const lane of LANES) {
        const there = new Set(arrived(cloud, lane));
        assert.deepEqual(sender.of(sender.acknowledged, lane).filter((n) => !there.has(n)), [], `${lane}: acknowledged and gone`);
    }
}

describe('the disk fails', { concurrency: 2 }, () => {
    scenario('the disk is full before an outage, with room again later', needsRoot, async (s, t) => {
        const r = await onTmpfs(s, t, '24m');
        if (!r) return;
        await fill(r.hog); // nothing lies on the disk that could make room
        const stuck = r.sender.send(2000, { lanes: mixed });
        await until('it says so', async () => (await status(r.gateway)).store.disk_ok === false);
        const bad = await status(r.gateway);
        assert.match(bad.store.disk_error, /no room on the file system/);
        assert.equal((await r.gateway.http('/readyz')).status, 503);
        assert.equal(r.sender.acknowledged.length, 0);
        // Nobody waits for QoS 0: what does not fit into the memory meant for it is lost, and counted.
        const flood = await s.client(r.gateway, { protocolVersion: 5 });
        for (let k = 0; k < 40000; k += 100)
            await Promise.all(Array.from({ length: 100 }, () =>
                flood.publishAsync('flow/telemetry', JSON.stringify({ n: r.sender.next.telemetry++, pad: PAD }), { qos: 0 })));
        const lossy = await until('memory is full', async () => {
            const now = await status(r.gateway);
            return lost(laneOf(now.store, 'telemetry'), 'disk') > 1000 && now;
        });
        assert(lossy.store.in_memory < 16000, `${lossy.store.in_memory} in memory`);
        assert.equal(r.sender.acknowledged.length, 0, 'nothing is acknowledged that is on no disk');
        rmSync(r.hog);
        await until('the disk is used again', async () => (await status(r.gateway)).store.disk_ok, 20000);
        await stuck;
        assert.equal(r.sender.acknowledged.length + r.sender.refused.length, 2000);
        assert.equal((await r.gateway.http('/readyz')).status, 200);
        await sleep(1500);
        await r.gateway.kill();
        await r.gateway.start();
        await r.cloud.start();
        await settled(t, r.gateway, r.cloud, r.sender);
        allThere(r);
    });

    scenario('a disk that is filled up by the outage itself', needsRoot, async (s, t) => {
        const r = await onTmpfs(s, t, '6m', { when_full: 'refuse' });
        if (!r) return;
        let full;
        const stuck = r.sender.send(60000, { enough: () => full });
        await until('the disk is full', async () => (await status(r.gateway)).store.disk_ok === false, 60000);
        t.diagnostic(`${r.sender.acknowledged.length} acknowledged before it was full`);
        assert(r.sender.acknowledged.length > 2000);
        full = true;
        await r.cloud.start(); // room comes from what leaves
        await stuck;
        await r.gateway.kill();
        await r.gateway.start();
        await settled(t, r.gateway, r.cloud, r.sender, { killedOnline: true });
        allThere(r);
    });

    // Others take the last byte, with much less than max_bytes waiting: what lies on the disk makes room, as at max_bytes.
    for (const [policy, reason] of [['thin', 'thinned'], ['drop-oldest', 'no-room'], ['drop-newest', 'no-room'], ['refuse', 'no-room']]) {
        scenario(`others fill the disk during an outage: ${policy}`, needsRoot, async (s, t) => {
            const keepsOld = policy === 'drop-newest' || policy === 'refuse';
            const r = await onTmpfs(s, t, '24m', { when_full: policy });
            if (!r) return;
            await r.sender.send(12000, { lanes: mixed });
            await fill(r.hog);
            const before = [r.sender.acknowledged.length, r.sender.next.alert];
            assert.equal(before[0], 12000);
            await r.sender.send(2000, { lanes: mixed }); // and nobody is left without an answer
            const full = await status(r.gateway);
            assert.deepEqual([full.store.disk_ok, full.store.no_room], [false, true]);
            assert.match(full.store.disk_error, /no room on the file system.*until then/);
            await until('an event says so', async () =>
                (await status(r.gateway)).events.some((e) => /no room on the file system/.test(e.text)));
            const health = await r.gateway.http('/healthz');
            assert.equal(health.status, 200, 'it works: nobody is to restart it for that');
            assert.match(JSON.parse(health.text).alarms[0], /no room on the file system/);
            assert.equal((await r.gateway.http('/readyz')).status, 503);
            assert.match((await r.gateway.http('/metrics')).text, /^sluice_store_no_room 1$/m);
            checkLedger(full.store);
            assert(lost(laneOf(full.store, 'telemetry'), reason) > 0, JSON.stringify(laneOf(full.store, 'telemetry').losses));
            for (const lane of full.store.lanes) assert.equal(lost(lane, 'disk') + lost(lane, 'full'), 0);
            if (policy !== 'refuse') // nor is anybody to send again what would be lost again
                assert.deepEqual([r.sender.acknowledged.length, r.sender.refused.length], [14000, 0]);
            if (!keepsOld) {
                assert.equal(laneOf(full.store, 'alert').lost, 0, 'no alert goes while there is telemetry');
            } else {
                assert.deepEqual([...r.sender.reasons], policy === 'refuse' ? [0x97] : []);
                assert(full.store.messages >= 12000, 'what was there stays');
            }
            rmSync(r.hog);
            await until('there is room again', async () => (await status(r.gateway)).store.disk_ok, 20000);
            const acknowledged = r.sender.acknowledged.length;
            await r.sender.send(500, { lanes: mixed });
            assert.equal(r.sender.acknowledged.length, acknowledged + 500);
            await sleep(1500);
            await r.gateway.kill();
            await r.gateway.start();
            r.gateway.config.cloud.limits = { publishes_per_second: 3000 };
            await r.cloud.start();
            await settled(t, r.gateway, r.cloud, r.sender);
            if (policy === 'refuse') allThere(r);
        });
    }

    scenario('the disk fills up while the backlog drains', needsRoot, async (s, t) => {
        const r = await onTmpfs(s, t, '24m');
        if (!r) return;
        await r.sender.send(5000, { lanes: mixed });
        r.gateway.config.cloud.limits = { publishes_per_second: 1500 };
        await r.gateway.stop();
        r.gateway.write();
        await r.gateway.start();
        await r.cloud.start();
        await until('it drains', async () => (await status(r.gateway)).store.messages < 4500, 20000);
        await fill(r.hog);
        await until('some more has drained on a full disk', async () => (await status(r.gateway)).store.messages < 1500, 30000);
        await settled(t, r.gateway, r.cloud, r.sender);
        allThere(r);
    });

    scenario('the file system becomes read-only, and writable again', needsRoot, async (s, t) => {
        const r = await onTmpfs(s, t, '24m');
        if (!r) return;
        await r.sender.send(500, { lanes: mixed });
        // With files open for writing a file system does not become read-only: the gateway is killed, as by a power cut.
        await r.gateway.kill();
        await remount(r.disk, 'ro');
        await r.gateway.start();
        r.sender.client = await s.client(r.gateway, { protocolVersion: 5 });
        await until('it says so', async () => /ead-only file system/.test((await status(r.gateway)).store.disk_error), 20000);
        assert.equal((await r.gateway.http('/readyz')).status, 503);
        // Killed, it left its log: what waits in that is counted, too.
        const { store: kept } = await status(r.gateway);
        assert.equal(kept.kept, 500);
        assert.match(kept.disk_error, /500 messages on it wait until it can be written/);
        assert.match((await r.gateway.http('/metrics')).text, /^sluice_store_kept_messages 500$/m);
        const before = r.sender.acknowledged.length;
        const stuck = r.sender.send(20, { lanes: mixed });
        await sleep(1500);
        assert.equal(r.sender.acknowledged.length, before, 'nothing is acknowledged that is on no disk');
        await remount(r.disk, 'rw');
        await until('the disk is used again', async () => (await status(r.gateway)).store.disk_ok, 20000);
        await stuck;
        await r.sender.send(100, { lanes: mixed });
        await r.cloud.start();
        await settled(t, r.gateway, r.cloud, r.sender);
        allThere(r);
    });

    scenario('read-only with the cloud there: nothing needs the disk', needsRoot, async (s, t) => {
        const r = await onTmpfs(s, t, '24m');
        if (!r) return;
        await r.sender.send(100, { lanes: mixed });
        await r.gateway.kill();
        await remount(r.disk, 'ro');
        await r.cloud.start();
        await r.gateway.start();
        r.sender.client = await s.client(r.gateway, { protocolVersion: 5 });
        await until('the cloud is online', async () => (await status(r.gateway)).cloud.state === 'online');
        await r.sender.send(300, { lanes: mixed });
        assert.equal(r.sender.acknowledged.length, 400, 'acknowledged, because the cloud has them');
        await remount(r.disk, 'rw'); // what waited on the disk is sent as well
        await until('the disk is used again', async () => (await status(r.gateway)).store.disk_ok, 20000);
        await settled(t, r.gateway, r.cloud, r.sender, { readable: false });
        allThere(r);
    });

    scenario('the files are deleted under the running gateway', async (s, t) => {
        const cloud = await s.cloud({ observe: 'up/#', lean: true });
        const gateway = await gatewayAt(s, cloud, { spill_after: '20ms' });
        await gateway.start();
        const sender = new Sender(await s.client(gateway, { protocolVersion: 5 }));
        await sender.send(400, { lanes: mixed });
        for (const file of readdirSync(gateway.data)) if (file.startsWith('queue.db')) rmSync(path.join(gateway.data, file));
        await sender.send(400, { lanes: mixed });
        await sleep(1000);
        await sender.send(400, { lanes: mixed });
        assert.equal(sender.acknowledged.length, 1200);
        await gateway.kill(); // what is on the disk now has a name again
        assert(statSync(path.join(gateway.data, 'queue.db')).size > 0);
        await gateway.start();
        await cloud.start();
        await settled(t, gateway, cloud, sender);
        allThere({ cloud, sender });
        assert.match(gateway.allLog, /removed|gone|deleted/);
    });
});
