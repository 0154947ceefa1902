// system.mjs - processes, ports, waiting and HTTP. Ends only processes that it started, by their id.
import { spawn } from 'node:child_process';
import http from 'node:http';
import net from 'node:net';

const children = new Set();
process.on('exit', () => {
    for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(1));

/** Starts a program. `log` gathers what it says on both outputs, `exited` resolves to {code, signal}. */
export function start(program, args, options = {}) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    children.add(child);
    child.log = '';
    child.over = false;
    for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding('utf8').on('data', (text) => (child.log += text));
    child.exited = new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code, signal) => {
            child.over = true;
            children.delete(child);
            resolve({ code, signal });
        });
    });
    child.exited.catch(() => {}); // whoever awaits it hears of it; nobody else needs to
    return child;
}

/** Runs a program to its end: {code, signal, stdout, stderr, ms}. */
export async function run(program, args, { input, timeout = 20000, ...options } = {}) {
    const began = performance.now();
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    children.add(child);
    let stdout = '', stderr = '', late = false;
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.stdin.on('error', () => {}); // a program need not read its input
    child.stdin.end(input);
    const timer = setTimeout(() => {
        late = true;
        child.kill('SIGKILL');
    }, timeout);
    return new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code, signal) => {
            clearTimeout(timer);
            children.delete(child);
            if (late) reject(new Error(`${program} ${args.join(' ')}: not done after ${timeout} ms\n${stdout}${stderr}`));
            else resolve({ code, signal, stdout, stderr, ms: performance.now() - began });
        });
    });
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again and again until the answer is truthy, and returns it; an exception is asked again, too. */
export async function until(what, question, timeout = 15000) {
    const end = performance.now() + timeout;
    for (;;) {
        let answer, error;
        try {
            answer = await question();
        } catch (e) {
            error = e;
        }
        if (answer) return answer;
        if (performance.now() > end)
            throw new Error(`after ${timeout} ms not yet: ${what}`, error ? { cause: error } : undefined);
        await sleep(20);
    }
}

/** Fails when a promise takes longer. */
export async function within(ms, what, promise) {
    let timer;
    const late = new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

export function canConnect(where) {
    return new Promise((resolve) => {
        const socket = net.connect(where);
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
        socket.once('connect', () => socket.destroy());
    });
}

function canListen(port) {
    return new Promise((resolve) => {
        const server = net.createServer();
        server.once('error', () => resolve(false));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
}

const given = new Set();

/** A free port below the range that the kernel gives to outgoing connections, so that it stays free. */
export async function freePort() {
    for (;;) {
        const port = 10000 + Math.floor(Math.random() * 22000);
        if (given.has(port) || !(await canListen(port))) continue;
        given.add(port);
        return port;
    }
}

/** GET, or another method: {status, headers, text}. */
export function request(port, path, { method = 'GET', headers = {}, body, timeout = 10000 } = {}) {
    return new Promise((resolve, reject) => {
        const req = http.request({ host: '127.0.0.1', port, path, method, headers, timeout, agent: false }, (res) => {
            let text = '';
            res.setEncoding('utf8').on('data', (part) => (text += part));
            res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, text }));
        });
        req.on('timeout', () => req.destroy(new Error(`${method} ${path}: no answer within ${timeout} ms`)));
        req.on('error', reject);
        req.end(body);
    });
}
