// page.test.mjs - the status page of a real gateway in a real browser: it lives, tells the truth about the cloud, fits a
// phone, shows what strangers send as text, and finds back after a restart.
import assert from 'node:assert/strict';
import { missing, Page } from './lib/browser.mjs';
import { scenario as plainScenario } from './lib/scenario.mjs';
import { freePort, start, until } from './lib/system.mjs';

const scenario = (name, body) => plainScenario(name, { skip: missing, timeout: 60000 }, body);

const HOSTILE = '<img src=x onerror=alert(1)>';
const rules = [{ name: 'warm', sql: "SELECT topic(2) AS room, t FROM 'site/+/air' WHERE t > 20", to: [{ cloud: 'up/${room}' }] }];

async function withPage(s, { cloud, ...more } = {}) {
    const gateway = await s.gateway({
        rules,
        store: { spill_after: '50ms' },
        web: { bind: '127.0.0.1', port: await freePort(), anonymous: 'read' },
        ...(cloud ? { cloud: cloud.config() } : {}),
        ...more,
    });
    await gateway.start();
    return gateway;
}

async function publish(s, gateway, topic, text) {
    const sent = await s.pub(gateway, '-q', '1', '-t', topic, '-m', text);
    assert.equal(sent.code, 0, sent.stderr);
}

/** mosquitto_pub that publishes a reading every 20 ms until `stop` is called; `count` is how many it was given. */
function publishing(s, gateway, topic) {
    const args = ['-h', '127.0.0.1', '-p', String(gateway.port), '-q', '1', '-t', topic, '-l'];
    const child = start('mosquitto_pub', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => {});
    child.count = 0;
    const timer = setInterval(() => child.stdin.write(`{"t":${15 + (child.count++ % 10)}}\n`), 20);
    child.stop = () => {
        clearInterval(timer);
        child.stdin.end();
        return child.exited;
    };
    s.defer(child.stop);
    return child;
}

const pillIs = (page, state, timeout) => until(`the pill says ${state}`, async () =>
    (await page.at('cloud-pill').getAttribute('data-state')) === state && (await page.text('cloud-state')) === state, timeout);

/** The live messages, the latest first, without their times: topic and payload in one. */
async function shownMessages(page) {
    const texts = await page.at('messages').locator('li').allTextContents();
    return texts.map((text) => text.replace(/^[\d:]{8} /, ''));
}

async function watch(page, filter) {
    await page.at('watch-filter').fill(filter);
    await page.at('watch-button').click();
    await until('the page watches', async () => (await page.text('watch-text')) === 'watching');
}

scenario('numbers move while sensors publish, and nothing else is loaded', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await withPage(s, { cloud });
    await gateway.cloudIs('online');
    const page = await Page.open(s, gateway);
    assert.equal(page.answer.status(), 200);
    assert.match(page.answer.headers()['content-security-policy'], /default-src 'none'/);
    assert.equal(await page.text('gateway-id'), 'e2e');
    await pillIs(page, 'online');
    assert.deepEqual(await page.rule('warm'), { in: 0, kept: 0, out: 0, errors: 0 });
    assert.equal(await page.at('sensor').count(), 0);

    const before = await page.number('messages-in-total');
    const sensor = publishing(s, gateway, 'site/attic/air');
    await until('the count of messages moves', async () => (await page.number('messages-in-total')) > before + 10);
    const soon = await page.number('messages-in-total');
    await until('and moves again', async () => (await page.number('messages-in-total')) > soon + 10);
    await until('so does the rate', async () => (await page.number('messages-in')) > 5);
    await until('the cloud gets some', async () => (await page.number('to-cloud-total')) > 10);
    await until('the rule counts', async () => (await page.rule('warm')).kept > 10);
    assert.deepEqual(await sensor.stop(), { code: 0, signal: null });

    const n = sensor.count, kept = 4 * Math.floor(n / 10) + Math.max(0, (n % 10) - 6); // t is 21 to 24 in four of ten
    await until('the rule shows what it must', async () => {
        const shown = await page.rule('warm');
        return shown.in === n && shown.kept === kept && shown.out === kept && shown.errors === 0;
    });
    await publish(s, gateway, 'site/attic/air', '{"t":23.25,"h":41}');
    const shown = page.tab.locator('[data-testid=sensor][data-topic="site/attic/air"]');
    await until('the sensor shows its value', async () => /t\s*23\.25\s*h\s*41$/.test(await shown.innerText()));
    assert.equal(await page.at('sensor').count(), 1);
    await until('all is delivered', async () => (await page.number('waiting')) === 0);
    assert.equal(await page.text('lost'), '0');
    page.check();
});

scenario('the cloud goes and comes, and the page says so', async (s) => {
    const cloud = await s.cloud();
    await cloud.start();
    const gateway = await withPage(s, { cloud });
    const page = await Page.open(s, gateway);
    await pillIs(page, 'online');
    assert(await page.at('cloud-note').isHidden());
    await cloud.kill();
    await pillIs(page, 'offline');
    assert.match(await page.text('cloud-cause'), /cannot be reached/);
    await until('the error names the place', async () => (await page.text('cloud-error')).includes(`localhost:${cloud.port}`));
    for (let n = 1; n <= 3; n++) {
        await publish(s, gateway, 'site/attic/air', `{"t":${30 + n}}`);
        await until(`${n} in the queue`, async () =>
            (await page.number('waiting')) === n && (await page.number('lane-telemetry-waiting')) === n);
    }
    await cloud.start();
    await pillIs(page, 'online');
    await until('the queue is empty', async () => (await page.number('waiting')) === 0);
    assert(await page.at('cloud-note').isHidden());
    await cloud.got('the last one', (m) => m.text === '{"room":"attic","t":33}');
    assert.equal(await page.text('lost'), '0');
    page.check();
});

for (const width of [320, 390]) {
    scenario(`on a phone ${width} pixels wide nothing hangs over`, async (s) => {
        const long = 'a'.repeat(120);
        const wide = { name: `rule-${long.slice(0, 50)}`, sql: `SELECT ${long} FROM '${long}/#'`, to: [{ cloud: long }] };
        const gateway = await withPage(s, { rules: [...rules, wide] });
        const phone = { viewport: { width, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
        const page = await Page.open(s, gateway, phone);
        await watch(page, '#');
        await publish(s, gateway, `${long}/${long}`, long);
        await publish(s, gateway, 'site/attic/air', `{"${long}":${'1'.repeat(15)}}`);
        await publish(s, gateway, `${long}/1`, '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}');
        await until('three sensors', async () => (await page.at('sensor').count()) === 3);
        await until('three messages', async () => (await shownMessages(page)).length === 3);
        await page.tab.evaluate(() => document.querySelectorAll('details').forEach((d) => (d.open = true)));
        const { scroll, client, over } = await page.tab.evaluate(() => {
            const { scrollWidth: scroll, clientWidth: client } = document.documentElement;
            const over = [...document.querySelectorAll('main :is(section, ul, ol, dl), header, footer')].filter((e) =>
                e.getBoundingClientRect().right > client + 0.5 || e.scrollWidth > e.clientWidth + 1);
            return { scroll, client, over: over.map((e) => e.id || e.className) };
        });
        assert.deepEqual(over, []);
        assert(client === width && scroll <= client, `the page is ${scroll} pixels wide, the screen ${client}`);
        page.check();
    });
}

scenario('watched messages appear as they come', async (s) => {
    const gateway = await withPage(s);
    const page = await Page.open(s, gateway);
    await watch(page, 'door/+');
    await publish(s, gateway, 'door/front', 'open');
    await publish(s, gateway, 'window/left', 'open');
    await publish(s, gateway, 'door/back', '{"state":1}');
    await until('two messages', async () => (await shownMessages(page)).length >= 2);
    assert.deepEqual(await shownMessages(page), ['door/back{"state":1}', 'door/frontopen']);
    await page.at('watch-button').click();
    await until('the button offers to watch again', async () => (await page.text('watch-button')) === 'Watch');
    await publish(s, gateway, 'door/front', 'shut');
    await watch(page, 'window/#');
    await publish(s, gateway, 'window/left', 'shut');
    await until('the new filter', async () => (await shownMessages(page)).includes('window/leftshut'));
    assert.deepEqual(await shownMessages(page), ['window/leftshut'], 'nothing of what came while nobody watched');
    await page.at('watch-filter').fill('a/#/b');
    await page.at('watch-button').click();
    await until('a wrong filter is refused', async () => /not/.test(await page.text('watch-text')));
    assert.equal(await page.text('watch-button'), 'Watch');
    page.check();
});

scenario('what strangers send is shown as text', async (s) => {
    const cloud = await s.cloud(); // never there, so that an error stands on the page, too
    const bad = { name: 'bad', sql: `SELECT '${HOSTILE}' AS x FROM 'x'`, to: [{ local: 'y' }] };
    const gateway = await withPage(s, { cloud, rules: [...rules, bad] });
    const page = await Page.open(s, gateway);
    await watch(page, '#');
    const topic = `${HOSTILE}/<b>bold`;
    const texts = [
        HOSTILE, '<script>alert(2)</script>', `{"${HOSTILE}":"<svg onload=alert(3)>"}`, '"><iframe src=javascript:alert(4)>',
        '\u202e\u0001 {{7*7}} ${alert(5)}',
    ];
    for (const text of texts) await publish(s, gateway, topic, text);
    await s.pub(gateway, '-i', '<img src=x onerror=alert(6)>', '-t', 'who/am/i', '-m', '<u>', '-q', '1');
    await publish(s, gateway, topic, HOSTILE);
    await until('the messages', async () => (await shownMessages(page)).length >= 7);
    const shown = await shownMessages(page);
    assert.equal(shown.at(-1), `${topic}${HOSTILE}`);
    assert.equal(shown.at(-2), `${topic}<script>alert(2)</script>`);
    const sensor = page.tab.locator('[data-testid=sensor]', { hasText: '<b>bold' });
    await until('the sensor', async () => (await sensor.innerText()).includes(HOSTILE));
    assert.equal(await sensor.getAttribute('data-topic'), topic);
    await until('the rule', async () => (await page.at('rule-bad').textContent()).includes(HOSTILE));
    await until('the page is drawn again', async () => (await page.number('messages-in-total')) >= 7);
    const strange = await page.tab.evaluate(() => [...document.querySelectorAll(
        'main :is(img, script, iframe, svg[onload], u), [onerror], [onload]')].map((e) => e.outerHTML));
    assert.deepEqual(strange, []);
    assert.equal(await sensor.locator('.topic b').count(), 1, 'the one that the page itself made');
    page.check();
});

scenario('after a restart of the gateway the page comes back by itself', async (s) => {
    const gateway = await withPage(s);
    const page = await Page.open(s, gateway);
    await publish(s, gateway, 'site/attic/air', '{"t":30}');
    await until('one waits', async () => (await page.number('waiting')) === 1);
    await watch(page, 'door/#');
    assert(await page.at('stale-banner').isHidden());
    await gateway.kill();
    await page.at('stale-banner').waitFor({ state: 'visible' });
    assert.match(await page.text('stale-banner'), /does not answer/);
    assert.equal(await page.number('waiting'), 1, 'the last known state stays, marked as old');
    await gateway.start();
    await page.at('stale-banner').waitFor({ state: 'hidden' });
    await until('the counts are the new ones', async () => (await page.rule('warm')).in === 0);
    assert.equal(await page.number('waiting'), 1, 'what was acknowledged is still there');
    await until('the live connection is back', async () => {
        await publish(s, gateway, 'door/front', 'open');
        return (await shownMessages(page)).includes('door/frontopen');
    }, 30000);
    await publish(s, gateway, 'site/attic/air', '{"t":31}');
    await until('two wait', async () => (await page.number('waiting')) === 2);
    // What the browser itself says about a gateway that is away; all else is a fault.
    page.check(/^error: (WebSocket connection to .* failed|Failed to load resource: net::ERR_CONNECTION_REFUSED)/);
});
