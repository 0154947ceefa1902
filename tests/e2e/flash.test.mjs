// flash.test.mjs - the flash budget: online, with the cloud answering, nothing is written for a message.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { scenario } from './lib/scenario.mjs';
import { freePort, sleep, until } from './lib/system.mjs';

const SECONDS = 45;
const PER_DAY_MAX = 1024 * 1024;
const rules = [{ name: 'all', sql: "SELECT * FROM 'site/#'", to: [{ cloud: 'up/${topic}' }] }];

const written = (gateway) => Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${gateway.process.pid}/io`, 'utf8'))[1]);
async function metric(gateway, name) {
    const line = (await gateway.http('/metrics')).text.split('\n').find((l) => l.startsWith(`${name} `));
    assert(line, `there is no metric ${name}`);
    return Number(line.split(' ')[1]);
}
const counters = ['sluice_store_written_bytes_total', 'sluice_store_syncs_total', 'sluice_state_written_bytes_total', 'sluice_state_syncs_total'];
const all = async (gateway) => Promise.all(counters.map((name) => metric(gateway, name)));

scenario('online nothing is written for what the cloud and a kept session acknowledge', { timeout: 150000 }, async (s) => {
    const cloud = await s.cloud({ lean: true });
    await cloud.start();
    const gateway = await s.gateway({
        rules, cloud: cloud.config(), web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
    });
    await gateway.start();
    await gateway.cloudIs('online');
    // What is written once: the subscriber's session, which is to outlive a restart.
    const kept = await s.client(gateway, { clientId: 'kept', clean: false });
    await kept.subscribeAsync('site/#', { qos: 1 });
    const sensor = await s.client(gateway);
    await sensor.publishAsync('site/a', '0', { qos: 1 });
    await sleep(6000); // changes that nobody waits for gather for five seconds

    const before = { kernel: written(gateway), own: await all(gateway), status: (await gateway.status()).flash };
    const began = performance.now();
    let count = 0;
    while (performance.now() - began < SECONDS * 1000) {
        await sensor.publishAsync('site/a', `{"t":${count++}}`, { qos: 1 });
        await sleep(100);
    }
    const day = (bytes) => bytes * 86400 / SECONDS;
    const kernel = day(written(gateway) - before.kernel);
    const own = await all(gateway);
    assert(kernel < PER_DAY_MAX, `the kernel wrote ${kernel} bytes a day for ${count} messages`);
    assert(day(own[0] - before.own[0] + own[2] - before.own[2]) < PER_DAY_MAX, `it counts ${own} after ${before.own}`);
    assert(own[1] - before.own[1] + own[3] - before.own[3] <= 1, 'hardly a sync');
    assert(kept.got.length >= count && cloud.messages.length >= count, 'all arrived');

    // Without the cloud it is otherwise: the counters count.
    await cloud.kill();
    await until('the link is known to be down', async () => (await gateway.status()).cloud.state !== 'online');
    await sensor.publishAsync('site/a', 'offline', { qos: 1 });
    const after = await all(gateway);
    assert(after[0] - own[0] >= 4096, `it counts ${after} after ${own}`);
    assert(after[1] - own[1] >= 1);
    const flash = (await gateway.status()).flash;
    assert.equal(flash.written_bytes, after[0] + after[2]);
    assert.equal(flash.syncs, after[1] + after[3]);
});
