// gateway.mjs - one gateway under test: its configuration file, its process, and the questions asked of it.
import assert from 'node:assert/strict';
import { writeFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { canConnect, freePort, request, run, start, until, within } from './system.mjs';

export const SLUICE = process.env.SLUICE;

// A sanitizer's report ends the program with a code that nothing else uses.
export const environment = {
    ...process.env,
    ASAN_OPTIONS: 'exitcode=99',
    LSAN_OPTIONS: 'exitcode=99',
    UBSAN_OPTIONS: 'print_stacktrace=1:exitcode=99',
};
const SANITIZER = /ERROR: AddressSanitizer|runtime error:|LeakSanitizer|ThreadSanitizer|Assertion .* failed/;

/** The program run to its end; what a sanitizer says fails the test. */
export async function sluice(args, options = {}) {
    const done = await run(SLUICE, args, { env: environment, ...options });
    assert.doesNotMatch(done.stderr, SANITIZER);
    return done;
}

export class Gateway {
    /** `config` is completed with a listener on a free port, open to all; null values are left out. */
    static async make(dir, config = {}) {
        const gateway = new Gateway();
        gateway.dir = dir;
        mkdirSync(dir, { recursive: true });
        gateway.port = await freePort();
        gateway.config = {
            gateway: { id: 'e2e', data_dir: 'data' },
            log: { level: 'info' },
            listeners: [{ name: 'lan', protocol: 'mqtt', bind: '127.0.0.1', port: gateway.port }],
            access: { anonymous: true },
            ...config,
        };
        for (const key of Object.keys(gateway.config)) if (gateway.config[key] === null) delete gateway.config[key];
        gateway.webPort = gateway.config.web?.port;
        gateway.file = path.join(dir, 'sluice.json');
        gateway.log = '';
        gateway.write();
        return gateway;
    }

    write() {
        writeFileSync(this.file, JSON.stringify(this.config, null, 2));
    }

    get data() {
        return path.resolve(this.dir, this.config.gateway.data_dir);
    }

    get running() {
        return this.process !== undefined && !this.process.over;
    }

    /** The log of all runs so far. */
    get allLog() {
        return this.log + (this.process?.log ?? '');
    }

    spawn() {
        assert(!this.running, 'the gateway runs already');
        this.log = this.allLog;
        this.process = start(SLUICE, ['run', '-c', this.file], { env: environment, cwd: this.dir });
        return this.process;
    }

    /** Starts it and waits until it listens. */
    async start(timeout = 20000) {
        const child = this.spawn();
        const first = this.config.listeners[0];
        const where = first.unix
            ? { path: path.resolve(this.dir, first.unix) }
            : { host: '127.0.0.1', port: first.port };
        await until('the gateway listens', async () => {
            if (child.over) return true;
            return child.log.includes('is ready after') && (await canConnect(where));
        }, timeout);
        assert(!child.over, `the gateway ended at its start:\n${child.log}`);
        return this;
    }

    /** SIGTERM; it must end with 0 within 5 s. */
    async stop() {
        if (!this.running) return;
        const began = performance.now();
        this.process.kill('SIGTERM');
        const end = await within(10000, 'the gateway stops after SIGTERM', this.process.exited);
        this.stopMs = performance.now() - began;
        this.checkLog();
        assert.deepEqual(end, { code: 0, signal: null }, 'the exit after SIGTERM');
        assert(this.stopMs < 5000, `stopping took ${this.stopMs} ms`);
    }

    /** kill -9, as when the power goes. */
    async kill() {
        if (!this.running) return;
        this.process.kill('SIGKILL');
        await this.process.exited;
        this.checkLog();
    }

    checkLog() {
        assert.doesNotMatch(this.process.log, SANITIZER);
        assert.notEqual(this.process.exitCode, 99, 'a sanitizer ended the gateway');
    }

    /** A command about this gateway. */
    sluice(command, ...args) {
        return sluice([...command.split(' '), '-c', this.file, ...args], { cwd: this.dir });
    }

    async status() {
        const done = await this.sluice('status', '--json');
        assert.equal(done.code, 0, done.stderr);
        return JSON.parse(done.stdout);
    }

    /** What waits for the cloud: {lane, number, ts, topic, payload} each. */
    async queue(...args) {
        const done = await this.sluice('queue list', '--limit', '1000000', ...args);
        assert.equal(done.code, 0, done.stderr);
        return done.stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    }

    http(where, options) {
        return request(this.webPort, where, options);
    }

    /** Waits for the cloud's state by its word. */
    cloudIs(state, timeout) {
        return until(`the cloud is ${state}`, async () => (await this.status()).cloud.state === state, timeout);
    }

    /** Waits until nothing is left for the cloud. */
    async drained(timeout) {
        let last;
        await this.sluice('queue list', '--limit', '1'); // answered once the store is open: before that nothing is counted
        try {
            await until('the queue is empty', async () => (last = await this.status()).store.messages === 0, timeout);
        } catch (error) {
            error.message += `: ${JSON.stringify({ store: last?.store, cloud: last?.cloud })}`;
            throw error;
        }
    }
}
