// faults.test.mjs - a bad network between the gateway and its cloud (mosquitto, mutual TLS), while messages keep coming.
//
// For each fault: nothing is lost and nothing out of order, identities are unique, the ledger adds up at every look, the
// state tells the truth within the time that stands beside the fault, senders are acknowledged as ever, and when the
// fault ends the gateway is online again and the queue drains.
//
//   SLUICE_STORMS=20 SLUICE_SEED=7 node --test faults.test.mjs     more storms, from seeds 7 to 26
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { Flow, flowRules } from './lib/flow.mjs';
import { random } from './lib/random.mjs';
import { scenario } from './lib/scenario.mjs';
import { freePort, sleep, until } from './lib/system.mjs';

const STORMS = Number(process.env.SLUICE_STORMS ?? 2);
const SEED = Number(process.env.SLUICE_SEED ?? Math.floor(Math.random() * 1e9));
const AT_ONCE = 4; // faults are mostly waiting

// While publishes wait a silent cloud is asked after 2 s, and is not "online" any more when it says nothing for 2 s more.
const SILENCE_MS = 4000 + 700;
// With this keep-alive the missing answer to a ping ends the connection at the same time.
const KEEP_ALIVE_MS = 2000;
const ACK_MS = 2500; // to a sender, at most: spill_after, a commit, and a busy machine
// The gateway tries at most once a second; a handshake under the tests' sanitizers takes some hundred ms.
const BACK_MS = 4000;

async function running(s, { keepAlive = KEEP_ALIVE_MS, limits = {}, ...flow } = {}) {
    const cloud = await s.cloud({ observe: 'up/#', lean: true });
    await cloud.start();
    const gateway = await s.gateway({
        rules: flowRules,
        store: { spill_after: '100ms' },
        cloud: cloud.config({
            keep_alive: `${keepAlive}ms`, connect_timeout: '3s',
            limits: { publishes_per_second: 5000, bytes_per_second: '50MiB', in_flight: 100, ...limits },
        }),
        web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
    });
    await gateway.start();
    await gateway.cloudIs('online');
    const f = await new Flow(s, gateway, cloud, flow).start();
    await sleep(500);
    return { cloud, gateway, proxy: cloud.gate, f };
}

/** What holds after every fault. */
async function end(t, f) {
    const done = await f.check();
    t.diagnostic(`${done.messages} messages, ${done.repeats} repeats, slowest acknowledgement to a sender ` +
        `${Math.round(f.slowestMs)} ms, "online" without acknowledgements at most ${Math.round(f.boastMs)} ms`);
    assert(f.slowestMs < ACK_MS, `a sender waited ${f.slowestMs} ms`);
    assert(f.boastMs < SILENCE_MS, `"online" was said ${f.boastMs} ms without an acknowledgement`);
    return done;
}

/** fault(name, {options of running(), strike(r, s), said: [state, ms], lasts, after(r, began, t)) */
function fault(name, { options, strike, said, lasts = 500, heal = (r) => r.proxy.heal(), after }) {
    scenario(name, async (s, t) => {
        const r = await running(s, options);
        const began = performance.now();
        await strike(r, s);
        if (said) t.diagnostic(`"${said[0]}" after ${Math.round(await r.f.says(said[0], said[1], { past: began }))} ms`);
        await sleep(Math.max(0, lasts - (performance.now() - began)));
        await heal(r);
        if (after) await after(r, began, t);
        t.diagnostic(`"online" ${Math.round(await r.f.says('online', BACK_MS))} ms after the fault's end`);
        await until('what waited drains', async () => (await r.f.status()).store.messages < 50, 15000);
        await end(t, r.f);
    });
}

const neverOffline = (r, began) =>
    assert.deepEqual(r.f.statesSince(began).filter((state) => state !== 'online'), [], 'it stayed online');

describe('faults of the network', { concurrency: AT_ONCE }, () => {
    fault('the connection is closed', { strike: (r) => r.proxy.cut(), said: ['offline', 1000] });
    fault('the connection is reset', { strike: (r) => r.proxy.cut({ reset: true }), said: ['offline', 1000] });
    fault('the port refuses', { strike: (r) => r.proxy.close(), said: ['offline', 1000], lasts: 4000, heal: (r) => r.proxy.open() });
    fault('every byte takes 300 ms longer', { strike: (r) => r.proxy.delay(300), lasts: 4000, after: neverOffline });
    fault('4 kB/s', {
        options: { limits: { in_flight: 20 } }, strike: (r) => r.proxy.throttle(4000), lasts: 6000, after: neverOffline,
    });
    fault('a cable is out for a moment', { strike: (r) => r.proxy.hold(), lasts: 1500, after: neverOffline });
    fault('a cable is out', { strike: (r) => r.proxy.hold(), said: ['offline', SILENCE_MS], lasts: 7000 });
    fault('a black hole', { strike: (r) => r.proxy.blackHole(), said: ['offline', SILENCE_MS], lasts: 9000 });
    fault('acknowledgements do not get through, the connection stays', {
        options: { keepAlive: 60000 }, strike: (r) => r.proxy.hold('down'), said: ['stalled', SILENCE_MS], lasts: 9000,
        after: async (r, began) => {
            await r.f.says('online', BACK_MS);
            assert(!r.f.statesSince(began).includes('offline'), 'the connection was kept');
            assert.equal(r.proxy.accepted, 1);
        },
    });
    fault('half-open: the connection is dead, nobody says so, new ones pass', {
        strike: (r) => r.proxy.halfOpen(), said: ['offline', SILENCE_MS], heal: () => {},
    });
    fault('another client takes the client id, five times', {
        strike: async (r, s) => {
            for (let n = 0; n < 5; n++) {
                const began = performance.now();
                const twin = await r.cloud.client({ clientId: 'gw-e2e', clean: true });
                twin.on('error', () => {});
                s.defer(() => twin.endAsync(true));
                await r.f.says('offline', 2000, { past: began });
                await r.f.says('online', BACK_MS); // and takes the id back
            }
        },
    });
    fault('cut in the middle of records, twelve times', {
        strike: async (r) => {
            for (let n = 0; n < 12; n++) {
                const before = r.proxy.accepted;
                r.proxy.cutAfter(300 + n * 331); // in handshakes as well as in publishes
                await until('it is back', () => r.proxy.accepted > before, 8000);
            }
        },
    });
    fault('slow, far away, and cut again and again', {
        options: { limits: { in_flight: 20 } },
        strike: async (r) => {
            r.proxy.delay(80);
            r.proxy.throttle(30000);
            for (let n = 0; n < 4; n++) {
                await sleep(2500);
                r.proxy.cut({ reset: n % 2 === 0 });
            }
        },
    });
});

/** Faults that may be there together, for a while each. */
const weather = [
    ['cut', (p) => p.cut()], ['reset', (p) => p.cut({ reset: true })], ['cutAfter', (p, chance) => p.cutAfter(chance() * 20000)],
    ['delay', (p, chance) => p.delay(chance() * 400)], ['throttle', (p, chance) => p.throttle(3000 + chance() * 60000)],
    ['hold', (p, chance) => p.hold(['up', 'down', 'both'][Math.floor(chance() * 3)])],
    ['blackHole', (p) => p.blackHole()], ['halfOpen', (p) => p.halfOpen()], ['heal', (p) => p.heal()], ['heal', (p) => p.heal()],
];

describe('storms', { concurrency: AT_ONCE }, () => {
    for (let seed = SEED; seed < SEED + STORMS; seed++) {
        scenario(`a storm of faults, seed ${seed}`, { timeout: 180000 }, async (s, t) => {
            const r = await running(s);
            const chance = random(seed);
            const told = [];
            const over = performance.now() + 25000;
            while (performance.now() < over) {
                const [name, strike] = weather[Math.floor(chance() * weather.length)];
                told.push(name);
                strike(r.proxy, chance);
                await sleep(100 + chance() * 2500);
            }
            t.diagnostic(told.join(' '));
            r.proxy.heal();
            // What hung in the last fault may have to be found dead first.
            t.diagnostic(`"online" ${Math.round(await r.f.says('online', SILENCE_MS + BACK_MS))} ms after the storm`);
            await until('what waited drains', async () => (await r.f.status()).store.messages < 50, 30000);
            await end(t, r.f);
        });
    }
});
