// browser.mjs - Debian's Chromium, headless, on the status page of a gateway; notes whatever the page does wrong.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const missing = existsSync(CHROMIUM) ? false : `there is no ${CHROMIUM}`;

let browser; // one for all scenarios of a file, a context for each page
after(async () => (await browser)?.close());

function launch() {
    return (browser ??= chromium.launch({
        executablePath: CHROMIUM,
        args: [
            '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
            '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
        ],
    }));
}

export class Page {
    /** The page in a window of its own, with the first status drawn. */
    static async open(s, gateway, options = {}) {
        const page = new Page();
        page.origin = `127.0.0.1:${gateway.webPort}`;
        page.faults = []; // console errors, exceptions, CSP violations, dialogs
        page.asked = []; // every address asked for, sockets included
        const context = await (await launch()).newContext(options);
        s.defer(() => context.close());
        page.tab = await context.newPage();
        await page.listen(context);
        page.answer = await page.tab.goto(`http://${page.origin}/`);
        await page.tab.locator('body[data-state=ready]').waitFor();
        return page;
    }

    async listen(context) {
        const fault = (kind) => (text) => this.faults.push(`${kind}: ${text}`);
        context.on('request', (request) => this.asked.push(request.url()));
        this.tab.on('websocket', (socket) => this.asked.push(socket.url()));
        this.tab.on('console', (m) => ['error', 'warning'].includes(m.type()) && fault(m.type())(m.text()));
        this.tab.on('pageerror', fault('exception'));
        this.tab.on('dialog', async (dialog) => {
            fault('dialog')(dialog.message());
            await dialog.dismiss();
        });
        await this.tab.exposeFunction('noteViolation', fault('CSP'));
        await this.tab.addInitScript(() => document.addEventListener('securitypolicyviolation',
            (e) => globalThis.noteViolation(`${e.violatedDirective} ${e.blockedURI}`)));
    }

    /** The element with this data-testid. */
    at(id) {
        return this.tab.locator(`[data-testid="${id}"]`);
    }

    async text(id) {
        return (await this.at(id).innerText()).trim();
    }

    /** The first number in its text, thousands separators taken out; NaN without one. */
    async number(id) {
        return Number.parseFloat((await this.text(id)).replaceAll(',', ''));
    }

    /** in, kept, out and errors of a rule, as drawn. */
    async rule(name) {
        const counts = {};
        for (const item of await this.at(`rule-${name}`).locator('[data-count]').all())
            counts[await item.getAttribute('data-count')] = Number((await item.locator('b').textContent()).replaceAll(',', ''));
        return counts;
    }

    /** Nothing went wrong that `allowed` does not fit, and nobody but the gateway was asked for anything. */
    check(allowed = /^$/) {
        assert.deepEqual(this.faults.filter((text) => !allowed.test(text)), []);
        assert(this.asked.length > 0);
        assert.deepEqual(this.asked.filter((url) => new URL(url).host !== this.origin), []);
    }
}
