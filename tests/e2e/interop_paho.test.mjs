// interop_paho.test.mjs - the Paho C client, synchronous and asynchronous, over every transport it has.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { everyListener } from './lib/listeners.mjs';
import { scenario } from './lib/scenario.mjs';
import { run } from './lib/system.mjs';

const programs = process.env.SLUICE_INTEROP ?? '';
const skip = !existsSync(path.join(programs, 'paho_sync')) && 'there is no Paho C client (libpaho-mqtt-dev)';

// The library's own leaks are not ours.
const env = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' };

for (const kind of ['sync', 'async'])
    scenario(`the ${kind}hronous Paho C client`, { skip }, async (s, t) => {
        const gateway = await everyListener(s);
        await gateway.start();
        const ca = gateway.certs.path('ca.crt');
        const where = {
            tcp: [`tcp://127.0.0.1:${gateway.ports.tcp}`],
            tls: [`ssl://localhost:${gateway.ports.tls}`, ca],
            ws: [`ws://127.0.0.1:${gateway.ports.ws}/mqtt`],
            wss: [`wss://localhost:${gateway.ports.wss}/mqtt`, ca],
        };
        for (const [transport, [uri, ...more]] of Object.entries(where))
            for (const [name, version] of [['3.1', '3'], ['3.1.1', '4'], ['5', '5']])
                await t.test(`${transport}, MQTT ${name}`, async () => {
                    const done = await run(path.join(programs, `paho_${kind}`), [uri, version, ...more], { timeout: 60000, env });
                    assert.equal(done.code, 0, `${done.signal ?? ''}${done.stderr}${done.stdout}`);
                });
    });
