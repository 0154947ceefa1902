// page.test.mjs - the status page in a browser: it loads without outside resources, its numbers move, and it tells when
// the cloud is gone.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { scenario } from './lib/scenario.mjs';
import { freePort, until } from './lib/system.mjs';

const executablePath = '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : `${executablePath} is not installed`;
const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

/** A page that records what it complains of and where it sends requests. */
async function open(browser, url, options = {}) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const complaints = [], requests = [];
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
    page.on('request', (request) => requests.push(request.url()));
    page.on('websocket', (socket) => requests.push(socket.url()));
    await page.goto(url);
    return { page, complaints, requests };
}

scenario('the page shows the gateway at work', { skip }, async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await s.gateway({
        rules: [{ name: 'warm-rooms', sql: "SELECT * FROM 'site/+/air' WHERE t > 20", to: [{ cloud: 'up/${topic}' }] }],
        web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
        cloud: cloud.config(),
    });
    await gateway.start();
    await gateway.cloudIs('online');
    const browser = await chromium.launch({ executablePath, args });
    s.defer(() => browser.close());
    const url = `http://127.0.0.1:${gateway.webPort}/`;
    const { page, complaints, requests } = await open(browser, url);
    const text = (id) => page.getByTestId(id).innerText();
    const pill = () => page.getByTestId('cloud-pill').getAttribute('data-state');

    await until('the cloud is shown online', async () => (await pill()) === 'online');
    assert.equal(await text('gateway-id'), 'e2e');
    const before = await text('messages-in-total');

    // A sensor publishes: numbers move, the rule and the topic are shown.
    const sensor = await s.client(gateway, { clientId: 'kitchen-sensor' });
    const publish = () => sensor.publishAsync('site/kitchen/air', JSON.stringify({ t: 15 + Math.random() * 10 }), { qos: 1 });
    const busy = setInterval(() => publish().catch(() => {}), 50);
    s.defer(() => clearInterval(busy));
    await until('the number of messages changes', async () => (await text('messages-in-total')) !== before);
    const first = await text('messages-in-total');
    await until('and changes again', async () => (await text('messages-in-total')) !== first);
    await until('a rate', async () => Number(await text('messages-in')) > 1);
    assert.match(await text('rules'), /warm-rooms/);
    await until('the sensor is listed', async () => (await text('sensors')).includes('site/kitchen/air'));

    // The tap on topics.
    await page.getByTestId('watch-filter').fill('site/#');
    await page.getByTestId('watch-button').click();
    await until('messages are shown', async () => (await text('messages')).includes('site/kitchen/air'));

    // The cloud goes, and comes back.
    await cloud.kill();
    await until('the cloud is shown away', async () => !['online', 'unknown'].includes(await pill()));
    await until('and why', async () => /refused|ended|closed/.test(await text('cloud-error')));
    await until('the queue grows', async () => Number(await text('waiting')) > 0);
    await cloud.start();
    await until('online again', async () => (await pill()) === 'online');
    await until('the queue is empty', async () => Number(await text('waiting')) === 0);

    assert.deepEqual(complaints, [], 'what the browser complained of');
    const host = new URL(url).host;
    assert.deepEqual(requests.filter((r) => new URL(r).host !== host && !r.startsWith('data:')), [], 'requests to elsewhere');
    assert(requests.some((r) => r.startsWith('ws')), 'it is told live');

    // The gateway goes: the page says so, and finds it again.
    clearInterval(busy);
    await gateway.kill();
    await page.getByTestId('stale-banner').waitFor({ state: 'visible', timeout: 15000 });
    await gateway.start();
    await page.getByTestId('stale-banner').waitFor({ state: 'hidden', timeout: 30000 });
});

for (const colorScheme of ['light', 'dark']) {
    scenario(`the page fits a phone, ${colorScheme}`, { skip }, async (s) => {
        const gateway = await s.gateway({
            gateway: { id: 'a-gateway-with-a-name-that-is-rather-long-for-a-phone', data_dir: 'data' },
            rules: [{ name: 'r'.repeat(60), sql: "SELECT * FROM '#'", to: [{ cloud: 'up/${topic}' }] }],
            web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
        });
        await gateway.start();
        const client = await s.client(gateway);
        await client.publishAsync(`a/${'long/'.repeat(30)}topic`, 'x'.repeat(3000), { qos: 1 });
        await client.publishAsync('a/<img src=x onerror=alert(1)>', '<script>alert(2)</script>', { qos: 1 });
        const browser = await chromium.launch({ executablePath, args });
        s.defer(() => browser.close());
        const { page, complaints } = await open(browser, `http://127.0.0.1:${gateway.webPort}/`,
            { viewport: { width: 360, height: 740 }, colorScheme });
        page.on('dialog', (dialog) => complaints.push(`a dialog: ${dialog.message()}`));
        await until('the sensors are listed', async () => (await page.getByTestId('sensors').innerText()).includes('<img'));
        const width = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        assert(width[0] <= width[1], `it is ${width[0]} wide on a screen of ${width[1]}`);
        assert.deepEqual(complaints, []);
    });
}
