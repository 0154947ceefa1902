/* sections.js - one function for each part of the page: what the status says, drawn. Any key of the status
 * may be missing: then its place says so or stays away. */
import {
  ago, array, byId, count, day, duration, gatewayNow, make, moment, number, object, plural, rate, setAttribute,
  setIdText, setText, shortDuration, size, sync, syncOrSay, whole,
} from '/page.js';

/* ---- the cloud link ---- */

const STATES = {
  online: 'online', stalled: 'stalled', connecting: 'connecting', offline: 'offline', disabled: 'off',
};

export function drawPill(cloud) {
  const state = STATES[cloud.state] ? cloud.state : 'unknown';
  const pill = byId('cloud-pill');
  setAttribute(pill, 'data-state', state);
  setIdText('cloud-state', STATES[cloud.state] || cloud.state || 'unknown');
  setAttribute(pill, 'title', cloud.since ? `since ${moment.format(cloud.since)}` : null);
}

/* Said in our words when the gateway has none of its own. */
const WHAT = {
  stalled: 'The link is up, but the cloud does not acknowledge',
  connecting: 'Connecting to the cloud',
  offline: 'The cloud cannot be reached',
  disabled: 'No cloud is set up',
};

export function drawCloudNote(cloud) {
  const note = byId('cloud-note');
  const quiet = !WHAT[cloud.state] || (cloud.state === 'connecting' && !cloud.error && !cloud.cause);
  note.hidden = quiet;
  setAttribute(note, 'data-state', cloud.state || 'unknown');
  const cause = cloud.cause ? `: ${cloud.cause}` : '';
  setIdText('cloud-note-title', `${WHAT[cloud.state] || ''}${cause}`);
  setIdText('cloud-note-error', cloud.error ? sentence(cloud.error) : '');
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

function drawFacts(list, facts) {
  const shown = facts.filter(([, value]) => value !== null && value !== undefined && value !== '');
  const keys = shown.map(([key]) => key).join('|');
  if (list.dataset.keys !== keys) {
    list.dataset.keys = keys;
    list.replaceChildren(...shown.flatMap(([key]) => [make('dt', {}, key), make('dd', {})]));
  }
  shown.forEach(([, value, warn], i) => {
    const node = list.children[2 * i + 1];
    setText(node, value);
    node.classList.toggle('warn', Boolean(warn));
    node.classList.toggle('long', String(value).length > 30);
  });
}

export function drawCloudFacts(cloud) {
  const expires = number(cloud.cert_not_after);
  const left = expires - gatewayNow();
  const soon = left < 30 * 86400000;
  const protocol = { 4: 'MQTT 3.1.1', 5: 'MQTT 5' }[cloud.protocol_version];
  drawFacts(byId('cloud-facts'), [
    ['State', `${STATES[cloud.state] || 'unknown'}${cloud.since ? ` for ${duration(gatewayNow() - cloud.since)}` : ''}`],
    ['Endpoint', cloud.endpoint],
    ['Protocol', protocol],
    ['Round trip', cloud.state === 'online' && cloud.round_trip_ms > 0 ? `${whole.format(cloud.round_trip_ms)} ms` : null],
    ['In flight', cloud.endpoint ? count(number(cloud.in_flight)) : null],
    ['Acknowledged', cloud.endpoint ? `${count(number(cloud.acknowledged))} of ${count(number(cloud.published))}` : null],
    ['Commands received', cloud.endpoint ? count(number(cloud.received)) : null],
    ['Certificate', expires > 0 ? (left < 0 ? `expired on ${day.format(expires)}` : `valid until ${day.format(expires)}`) : null, soon],
  ]);
}

/* ---- key figures ---- */

/* What share of the messages that came in did not have to go out: over this visit, because the counters
 * themselves begin at different times. */
const reduction = { first: null };
export const forgetCounters = () => { reduction.first = null; };

function reductionOf(status) {
  const accepted = array(object(status.store).lanes).reduce((sum, lane) => sum + number(lane.accepted), 0);
  const now = { in: number(object(status.broker).messages_in), accepted };
  const first = reduction.first;
  if (!first || now.in < first.in || now.accepted < first.accepted) reduction.first = now;
  else if (now.in - first.in >= 20) return 1 - (now.accepted - first.accepted) / (now.in - first.in);
  const rates = object(status.rates);
  const online = object(status.cloud).state === 'online';
  return online && rates.in_per_s > 0 ? 1 - number(rates.cloud_per_s) / rates.in_per_s : NaN;
}

function drawReduction(status) {
  const share = reductionOf(status);
  const percent = Number.isFinite(share) ? Math.max(0, share * 100) : NaN;
  setIdText('reduction', Number.isFinite(percent) ? percent.toFixed(percent >= 99.95 || percent < 0.05 ? 0 : 1) : '–');
}

export function drawFigures(status) {
  const rates = object(status.rates), store = object(status.store), broker = object(status.broker), cloud = object(status.cloud);
  setIdText('messages-in', rate(rates.in_per_s));
  setIdText('messages-in-total', Number.isFinite(broker.messages_in) ? `${count(broker.messages_in)} in all` : '');
  setIdText('to-cloud', rate(rates.cloud_per_s));
  setIdText('to-cloud-text', Number.isFinite(cloud.acknowledged) ? `${count(cloud.acknowledged)} acknowledged` : 'no cloud set up');
  drawReduction(status);
  drawQueueFigures(store);
}

function drawQueueFigures(store) {
  const lanes = array(store.lanes);
  const waiting = Number.isFinite(store.messages) ? store.messages : lanes.reduce((sum, lane) => sum + number(lane.waiting), 0);
  const lost = lanes.reduce((sum, lane) => sum + number(lane.lost), 0);
  const oldest = waiting > 0 && store.oldest_ms > 0 ? `, oldest ${shortDuration(gatewayNow() - store.oldest_ms)}` : '';
  setIdText('waiting', count(waiting));
  setIdText('waiting-text', waiting > 0 ? `${size(store.bytes)}${oldest}` : 'everything is delivered');
  setIdText('lost', count(lost));
  setIdText('lost-text', lost > 0 ? `last ${ago(gatewayNow() - lastLoss(lanes))}` : 'nothing, ever');
  setAttribute(byId('lost-figure'), 'data-bad', lost > 0 && gatewayNow() - lastLoss(lanes) < FRESH_LOSS_MS);
}

/* The ledger keeps losses for good; they alarm for a day. */
const FRESH_LOSS_MS = 86400000;

function lastLoss(lanes) {
  return Math.max(0, ...lanes.flatMap((lane) => array(lane.losses).map((loss) => number(loss.last_ms))));
}

/* ---- queue ---- */

function createLane(lane) {
  const part = (name) => make('i', { class: name });
  return make('li', { 'data-testid': `lane-${lane.name}` },
    make('span', { class: 'lane-name' }, String(lane.name)),
    make('span', { class: 'lane-bar', 'aria-hidden': 'true' }, part('disk'), part('memory')),
    make('span', { class: 'lane-waiting', 'data-testid': `lane-${lane.name}-waiting` }),
    make('span', { class: 'lane-facts' }));
}

function laneFacts(lane) {
  const memory = Math.max(0, number(lane.waiting) - number(lane.on_disk));
  const facts = [];
  if (lane.waiting > 0) {
    if (lane.on_disk > 0) facts.push(make('span', {}, make('i', { class: 'key' }), `${count(lane.on_disk)} on disk`));
    if (memory > 0) facts.push(make('span', {}, make('i', { class: 'key memory' }), `${count(memory)} in memory`));
    facts.push(size(lane.waiting_bytes));
    if (lane.oldest_ms > 0 && gatewayNow() - lane.oldest_ms >= 1000) facts.push(`oldest ${duration(gatewayNow() - lane.oldest_ms)}`);
  }
  facts.push(`${count(number(lane.delivered))} delivered`);
  if (lane.lost > 0) facts.push(make('span', { class: 'lost' }, `${count(lane.lost)} lost`));
  return facts.map((fact) => (typeof fact === 'string' ? make('span', {}, fact) : fact));
}

/* What was written to the disk, and AWS's bill where there is one. */
export function drawSpent(status) {
  const flash = object(status.flash), cost = object(status.cost);
  const parts = [];
  if (Number.isFinite(flash.written_bytes)) {
    const day = Number.isFinite(flash.day_bytes) ? `, ${size(flash.day_bytes)} a day` : '';
    parts.push(`${size(flash.written_bytes)} written to the disk since the start${day}`);
  }
  if (Number.isFinite(cost.usd)) {
    const month = Number.isFinite(cost.usd_month) ? `, ${cost.usd_month.toFixed(2)} a month` : '';
    parts.push(`about ${cost.usd.toFixed(2)} USD for ${count(number(cost.metered_messages))} metered messages${month}`);
  }
  setIdText('spent', parts.join(' · '));
}

export function drawQueue(store) {
  const lanes = array(store.lanes);
  const most = Math.max(10, ...lanes.map((lane) => number(lane.waiting)));
  syncOrSay(byId('lanes'), lanes, 'No lanes.', (lane) => lane.name, createLane, (node, lane) => {
    const [, bar, waiting, facts] = node.children;
    const disk = Math.min(number(lane.on_disk), number(lane.waiting));
    bar.children[0].style.width = `${(disk / most) * 100}%`;
    bar.children[1].style.width = `${((number(lane.waiting) - disk) / most) * 100}%`;
    setText(waiting, count(number(lane.waiting)));
    facts.replaceChildren(...laneFacts(lane));
  });
  drawFill(store);
  drawLedger(lanes);
}

function drawFill(store) {
  const share = store.max_bytes > 0 ? Math.min(1, number(store.bytes) / store.max_bytes) : 0;
  byId('store-fill').style.width = `${share * 100}%`;
  const meter = byId('store-meter');
  setAttribute(meter, 'aria-valuenow', Math.round(share * 100));
  setAttribute(meter, 'data-level', share > 0.8 ? 'high' : 'low');
  setIdText('store-fill-text', store.max_bytes > 0 ? `${size(store.bytes)} of ${size(store.max_bytes)}` : '');
}

const REASONS = {
  full: 'no room', age: 'older than it may be', thinned: 'thinned to make room', dead: 'refused by the cloud',
  disk: 'the disk failed or was full', corrupt: 'damaged on disk', purged: 'purged by hand',
  burst: 'faster than the disk takes them',
};

function drawLedger(lanes) {
  const rows = lanes.flatMap((lane) => array(lane.losses).filter((loss) => loss.count > 0).map((loss) => ({ ...loss, lane: lane.name })));
  const ledger = byId('ledger');
  const shape = JSON.stringify(rows);
  if (ledger.dataset.shape === shape) return;
  ledger.dataset.shape = shape;
  if (rows.length === 0) {
    ledger.replaceChildren(make('p', { class: 'fine' }, '✓ Nothing has been lost.'));
    return;
  }
  const body = rows.map((loss) => make('tr', {}, make('td', {}, String(loss.lane)), make('td', {}, REASONS[loss.reason] || String(loss.reason)),
    make('td', { class: 'number' }, count(loss.count)),
    make('td', { title: `${stamp(loss.first_ms)} to ${stamp(loss.last_ms)}` }, span(loss.first_ms, loss.last_ms))));
  ledger.replaceChildren(make('table', {}, make('caption', {}, 'Lost, and why'),
    make('thead', {}, make('tr', {}, ...['Lane', 'Reason', 'Messages', 'When'].map((name) => make('th', { scope: 'col', class: name === 'Messages' ? 'number' : null }, name)))),
    make('tbody', {}, ...body)));
}

const stamp = (ms) => (ms > 0 ? moment.format(ms) : 'unknown');

function span(from, to) {
  if (!(from > 0) || !(to > 0)) return '';
  const a = day.format(from), b = day.format(to);
  return a === b ? a : `${a} to ${b}`;
}

export function drawDiskNote(store) {
  const broken = store.disk_ok === false;
  byId('disk-note').hidden = !broken && !store.set_aside;
  setAttribute(byId('disk-note'), 'data-state', broken ? 'offline' : 'stalled');
  setIdText('disk-note-title', store.no_room ? 'The disk is full' : broken ? 'The disk takes no messages' : 'The queue began afresh');
  setIdText('disk-note-text', broken
    ? sentence(store.disk_error || 'writing fails')
    : sentence(`the old database failed its check and was set aside as ${store.set_aside}; ${Number(store.salvaged) || 0} messages of it were brought over`));
}

/* ---- rules ---- */

function createRule(rule) {
  return make('li', { 'data-testid': `rule-${rule.name}` },
    make('span', { class: 'rule-name' }, make('span', {}, String(rule.name)), make('span', { class: 'badge' })),
    make('span', { class: 'rule-counts' }, ...['in', 'kept', 'out', 'errors'].map((name) => make('span', { 'data-count': name }, make('b', {}), ` ${name}`))),
    make('details', {}, make('summary', {})),
    make('p', { class: 'rule-error' }));
}

function updateRule(node, rule) {
  const [name, counts, details, error] = node.children;
  const badge = name.lastElementChild;
  badge.className = rule.enabled === false ? 'badge' : 'badge on';
  setText(badge, rule.enabled === false ? 'off' : 'on');
  for (const item of counts.children) {
    const n = number(rule[item.dataset.count]);
    setText(item.firstElementChild, count(n));
    item.hidden = item.dataset.count === 'errors' && n === 0;
    item.classList.toggle('bad', item.dataset.count === 'errors');
  }
  setText(details.firstElementChild, rule.sql);
  setText(error, rule.errors > 0 && rule.last_error ? `Last error: ${rule.last_error}` : '');
  error.hidden = error.textContent === '';
}

export function drawRules(rules) {
  const enabled = rules.filter((rule) => rule.enabled !== false).length;
  setIdText('rules-text', rules.length > 0 ? `${enabled} of ${rules.length} on` : '');
  syncOrSay(byId('rules'), rules, 'No rules are set up: messages stay on the local broker.', (rule) => rule.name, createRule, updateRule);
}

/* ---- sensors ---- */

const OLD_MS = 900000;

function createSensor(sensor) {
  const topic = String(sensor.topic), cut = topic.lastIndexOf('/') + 1;
  return make('li', { 'data-testid': 'sensor', 'data-topic': topic },
    make('span', { class: 'topic' }, topic.slice(0, cut), make('b', {}, topic.slice(cut))),
    make('time', { class: 'age' }),
    make('span', { class: 'reading' }));
}

function plain(value) {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (value === null || typeof value === 'boolean') return String(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/* {"temperature":21.5,...} as named values, one number as a number, anything else as it is. */
function readingOf(text) {
  let value;
  try { value = JSON.parse(text); } catch { return [raw(text)]; }
  if (value === null || typeof value !== 'object') return [make('span', {}, plain(value))];
  const entries = Object.entries(value).filter(([key]) => key !== 'ts');
  if (Array.isArray(value) || entries.length === 0 || entries.length > 6) return [raw(text)];
  return entries.map(([key, v]) => make('span', {}, make('small', {}, key), plain(v)));
}

const raw = (text) => make('code', {}, text.length > 160 ? `${text.slice(0, 160)}…` : text);

function updateSensor(node, sensor) {
  const [, age, reading] = node.children;
  const text = typeof sensor.value === 'string' ? sensor.value : JSON.stringify(sensor.value ?? '');
  if (reading.dataset.text !== text) {
    reading.dataset.text = text;
    const parts = readingOf(text);
    reading.replaceChildren(...parts);
    setAttribute(reading, 'data-single', parts.length === 1 && text.length <= 16);
  }
  age.dataset.ts = number(sensor.ts);
  setAttribute(age, 'title', `${stamp(sensor.ts)}, ${plural(number(sensor.count), 'message', 'messages')}`);
  updateAge(age);
}

export function updateAge(node) {
  const age = gatewayNow() - Number(node.dataset.ts);
  setText(node, ago(age));
  setAttribute(node, 'data-old', age > OLD_MS);
}

export function drawSensors(sensors) {
  const wanted = byId('sensors-search').value.trim().toLowerCase();
  const shown = sensors.filter((sensor) => String(sensor.topic).toLowerCase().includes(wanted));
  syncOrSay(byId('sensors'), shown, wanted ? 'No sensor fits.' : 'No sensor has published yet.', (sensor) => sensor.topic, createSensor, updateSensor);
}

/* ---- GPIO and broker ---- */

function createLine(line) {
  return make('li', { 'data-testid': `gpio-${line.name}` }, make('span', { class: 'lamp', 'aria-hidden': 'true' }),
    make('span', { class: 'gpio-name' }, String(line.name), make('small', {})), make('span', { class: 'badge' }));
}

function updateLine(node, line) {
  const [lamp, name, badge] = node.children;
  const broken = line.ok === false, on = number(line.state) === 1, blinks = number(line.blink) > 0;
  setAttribute(lamp, 'data-on', on && !broken);
  setAttribute(lamp, 'data-bad', broken);
  const kind = line.direction === 'out' ? 'output' : 'input';
  const note = name.lastElementChild;
  setText(note, broken ? line.error || 'does not work' : blinks ? `${kind}, blinking at ${plain(line.blink)} Hz` : kind);
  note.classList.toggle('bad', broken);
  setText(badge, broken ? 'error' : on ? 'on' : 'off');
  badge.className = broken ? 'badge bad' : on ? 'badge on' : 'badge';
}

export function drawGpio(lines) {
  byId('gpio-card').hidden = lines.length === 0;
  sync(byId('gpio'), lines, (line) => line.name, createLine, updateLine);
}

/* Only what somebody should do something about. */
function drawEnds(node, tls) {
  const end = number(tls.cert_not_after);
  const left = end - gatewayNow();
  const crl = number(tls.crl_until);
  const texts = [];
  if (end > 0 && left < 14 * 86400000) texts.push(left < 0 ? `certificate expired on ${day.format(end)}` : `certificate ends on ${day.format(end)}`);
  if (crl > 0 && crl < gatewayNow()) texts.push(`revocation list expired on ${day.format(crl)}`);
  if (tls.reload_failed === true) texts.push('changed certificate files cannot be used');
  setText(node, texts.join(' · '));
}

export function drawBroker(status) {
  const broker = object(status.broker);
  const clients = Number.isFinite(broker.clients) ? broker.clients : status.clients;
  setIdText('clients', Number.isFinite(clients) ? count(clients) : '–');
  setIdText('clients-word', clients === 1 ? 'client' : 'clients');
  syncOrSay(byId('listeners'), array(broker.listeners), 'No listener is open.', (l) => `${l.name} ${l.protocol} ${l.address}`,
    (l) => make('li', {}, make('span', {}, String(l.name), make('span', { class: 'badge' }, String(l.protocol))), make('span', { class: 'where' }, String(l.address)), make('span', { class: 'ends' })),
    (node, l) => drawEnds(node.querySelector('.ends'), object(l.tls)));
  drawFacts(byId('broker-facts'), [
    ['Subscriptions', Number.isFinite(broker.subscriptions) ? count(broker.subscriptions) : null],
    ['Retained messages', Number.isFinite(broker.retained) ? count(broker.retained) : null],
    ['In', Number.isFinite(broker.bytes_in) ? `${count(number(broker.messages_in))} · ${size(broker.bytes_in)}` : null],
    ['Out', Number.isFinite(broker.bytes_out) ? `${count(number(broker.messages_out))} · ${size(broker.bytes_out)}` : null],
    ['Dropped for slow clients', broker.dropped > 0 ? count(broker.dropped) : null, true],
  ]);
}

/* ---- events ---- */

function createEvent(event) {
  return make('li', {}, make('time', { class: 'age', datetime: isoOf(event.ts), title: stamp(event.ts) }),
    make('span', { class: 'level', 'data-level': String(event.level) }, String(event.level)),
    make('span', { class: 'text' }, make('span', {}, `${event.unit || 'gateway'} · `), String(event.text)));
}

function isoOf(ms) {
  return Number.isFinite(ms) && Math.abs(ms) < 8e15 ? new Date(ms).toISOString() : null;
}

export function drawEvents(events) {
  const strict = byId('events-filter').checked;
  const shown = events.filter((event) => !strict || event.level === 'warn' || event.level === 'error').slice(0, 100);
  syncOrSay(byId('events'), shown, strict ? 'No warnings, no errors.' : 'Nothing has happened yet.',
    (event) => event.number || `${event.ts} ${event.unit} ${event.text}`, createEvent,
    (node, event) => setText(node.firstElementChild, number(event.ts) > 0 ? ago(gatewayNow() - event.ts) : ''));
}
