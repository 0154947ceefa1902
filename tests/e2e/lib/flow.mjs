// flow.mjs - a steady stream of messages in every lane, and an eye on what the gateway says meanwhile.
//
// Every answer about the state is checked as it comes: the ledger adds up, and "online" is only said while the cloud
// acknowledges. At the end everything that was acknowledged is in the cloud, in order, under one identity each.
import assert from 'node:assert/strict';
import { checkOrder, dedup, parseId } from './cloud.mjs';
import { sleep, until, within } from './system.mjs';

const LANES = ['alert', 'normal', 'telemetry'];
const WATCH_MS = 50;

export const flowRules = LANES.map((lane) => ({
    name: lane, sql: `SELECT * FROM 'flow/${lane}'`, to: [{ cloud: `up/${lane}`, lane }],
}));

export function checkLedger(store) {
    for (const l of store.lanes)
        assert.equal(l.accepted, l.delivered + l.waiting + l.lost, `lane ${l.name}: ${JSON.stringify(l)}`);
}

export const sum = (store, what) => store.lanes.reduce((all, lane) => all + lane[what], 0);

export class Flow {
    /** `perSecond` messages in all, evenly over the lanes and the time. */
    constructor(s, gateway, cloud, { perSecond = 90, text = '' } = {}) {
        Object.assign(this, { s, gateway, cloud, perSecond, text });
        this.sent = Object.fromEntries(LANES.map((lane) => [lane, 0]));
        this.slowestMs = 0; // from publish to acknowledgement
        this.boastMs = 0; // the longest time of "online" with something waiting and nothing acknowledged
        this.seen = []; // {at, state, cause}: every change
        this.pending = new Set();
    }

    async start() {
        this.clients = [];
        for (const lane of LANES) this.clients.push([lane, await this.s.client(this.gateway, { protocolVersion: 5 })]);
        this.running = true;
        this.publishing = this.publish();
        await this.listen();
        this.watching = this.watch();
        this.watching.catch(() => {}); // says() and stop() tell
        this.s.defer(() => (this.running = false));
        return this;
    }

    one(lane, client) {
        const began = performance.now();
        const text = JSON.stringify({ n: this.sent[lane]++, text: this.text });
        const done = client.publishAsync(`flow/${lane}`, text, { qos: 1 }).then(() => {
            this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
            this.pending.delete(done);
        });
        this.pending.add(done);
        done.catch(() => {}); // stop() awaits those that are left
    }

    async publish() {
        const began = performance.now();
        for (let k = 0; this.running; k++) {
            const wait = began + (k * 1000) / this.perSecond - performance.now();
            if (wait > 1) await sleep(wait);
            this.one(...this.clients[k % this.clients.length]);
        }
    }

    async status() {
        return JSON.parse((await this.gateway.http('/api/v1/status')).text);
    }

    /** Every change, also one that is over before the status is asked for again. */
    async listen() {
        const client = await this.s.client(this.gateway);
        client.on('message', (topic, payload) => {
            this.toldAt = performance.now();
            this.noteState(JSON.parse(payload));
        });
        await client.subscribeAsync('$SYS/gateway/cloud');
    }

    noteState({ state, cause, error }) {
        const last = this.seen.at(-1);
        if (last?.state !== state || last?.cause !== cause) this.seen.push({ at: performance.now(), state, cause, error });
    }

    note({ cloud, store }, began) {
        checkLedger(store);
        if (!(began < this.toldAt)) this.noteState(cloud); // else it may be older than what was told
        const delivered = sum(store, 'delivered');
        if (delivered !== this.delivered || store.messages === 0 || cloud.state !== 'online') this.progress = performance.now();
        this.delivered = delivered;
        this.boastMs = Math.max(this.boastMs, began - this.progress);
    }

    async watch() {
        while (this.running) {
            const began = performance.now();
            const status = await this.status();
            if (this.running) this.note(status, began);
            await sleep(WATCH_MS);
        }
    }

    /** The time from now until the gateway says so; `past` (a time) accepts what was said since then. "offline" may be
     *  seen as "connecting", which it is at every attempt. */
    async says(state, timeout, { cause, past } = {}) {
        const began = past ?? performance.now();
        const states = state === 'offline' ? ['offline', 'connecting'] : [state];
        const fits = (e) => states.includes(e.state) && (cause === undefined || e.cause === cause);
        const first = this.seen.at(-1);
        if (past === undefined && fits(first)) return 0;
        const what = `"${state}"${cause === undefined ? '' : ` with cause "${cause}"`} is said`;
        try {
            const event = until(what, () => this.seen.find((e) => e.at >= began && fits(e)), timeout);
            return (await Promise.race([event, this.watching.then(() => event)])).at - began;
        } catch (error) {
            error.message += `: ${JSON.stringify(this.seen.filter((e) => e.at >= began))}`;
            throw error;
        }
    }

    /** The states said since `began`, without repeats. */
    statesSince(began) {
        return [...new Set(this.seen.filter((e) => e.at >= began).map((e) => e.state))];
    }

    async stop() {
        this.running = false;
        await this.publishing;
        await this.watching;
        await within(15000, 'the last publishes are acknowledged', Promise.all(this.pending));
    }

    /** The end: the queue drains, and all of it is there. Returns counts to report. */
    async check({ drainMs = 20000 } = {}) {
        if (this.running) await this.stop();
        await this.gateway.drained(drainMs);
        const total = Object.values(this.sent).reduce((a, b) => a + b);
        await until('all of it is in the cloud', () => dedup(this.cloud.messages).length >= total, 5000).catch(() => {});
        const unique = dedup(this.cloud.messages);
        checkOrder(unique);
        const { store } = await this.status();
        checkLedger(store);
        for (const lane of LANES) {
            const numbers = unique.filter((m) => parseId(m.id).lane === lane).map((m) => JSON.parse(m.text).n);
            assert.deepEqual(numbers, Array.from({ length: this.sent[lane] }, (unused, n) => n),
                `${lane}: every message, once, in order`);
            const counted = store.lanes.find((l) => l.name === lane);
            assert.deepEqual([counted.accepted, counted.delivered, counted.lost], [this.sent[lane], this.sent[lane], 0], lane);
        }
        return { messages: total, repeats: this.cloud.messages.length - unique.length };
    }
}
