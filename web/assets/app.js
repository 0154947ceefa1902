/* app.js - draws the status page from what the gateway says.
 *
 * The status comes over the live WebSocket; when that does not get through (a proxy, say), it is fetched.
 * Everything from the gateway ends up in text nodes and attributes, never in markup. Any key of the status
 * may be missing: then its place says so or stays away. */
'use strict';

(() => {
  /* ---- the document ---- */

  const byId = (id) => document.getElementById(id);

  /** make('li', {class: 'x', title: 't'}, 'text', node, ...) */
  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) setAttribute(node, key, value);
    node.append(...children);
    return node;
  }

  function setAttribute(node, key, value) {
    const want = value === true ? '' : value;
    if (want === false || want === null || want === undefined) node.removeAttribute(key);
    else if (node.getAttribute(key) !== String(want)) node.setAttribute(key, want);
  }

  function setText(node, text) {
    const want = text === null || text === undefined ? '' : String(text);
    if (node.textContent !== want) node.textContent = want;
  }

  const setIdText = (id, text) => setText(byId(id), text);

  /* Keeps the children of `list` in step with `items`: nodes stay as long as their key does, so that a
   * selection, an open <details> or the focus survives an update. */
  function sync(list, items, keyOf, create, update) {
    const old = new Map();
    for (const node of list.children) old.set(node.dataset.key, node);
    let place = list.firstElementChild;
    for (const item of items) {
      const key = String(keyOf(item));
      let node = old.get(key);
      old.delete(key);
      if (!node) {
        node = create(item);
        node.dataset.key = key;
      }
      if (node === place) place = place.nextElementSibling;
      else list.insertBefore(node, place);
      update(node, item);
    }
    for (const node of old.values()) node.remove();
  }

  function syncOrSay(list, items, empty, keyOf, create, update) {
    if (items.length > 0) return sync(list, items, keyOf, create, update);
    if (list.children.length !== 1 || !list.firstElementChild.classList.contains('empty'))
      list.replaceChildren(make('li', { class: 'empty' }, empty));
    else setText(list.firstElementChild, empty);
  }

  const array = (value) => (Array.isArray(value) ? value.filter((x) => x && typeof x === 'object') : []);
  const list = (value) => (Array.isArray(value) ? value : []);
  const object = (value) => (value && typeof value === 'object' ? value : {});
  const number = (value) => (Number.isFinite(value) ? value : 0);

  /* ---- numbers, sizes, times ---- */

  const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
  const day = new Intl.DateTimeFormat('en-CA', { dateStyle: 'short' });
  const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
  const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

  const count = (n) => (n >= 1e6 ? short.format(n) : whole.format(n));

  function rate(n) {
    if (!Number.isFinite(n)) return '–';
    return n >= 100 ? count(n) : n >= 10 || n === 0 ? n.toFixed(n === 0 ? 0 : 1) : n.toFixed(n < 1 ? 2 : 1);
  }

  function size(bytes) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let n = number(bytes), i = 0;
    for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
    return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
  }

  function duration(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 60) return `${s} s`;
    const m = Math.floor(s / 60);
    if (m < 60) return m < 10 && s % 60 ? `${m} min ${s % 60} s` : `${m} min`;
    const h = Math.floor(m / 60);
    if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
    const d = Math.floor(h / 24);
    return h % 24 && d < 10 ? `${d} d ${h % 24} h` : `${d} d`;
  }

  function shortDuration(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 172800) return `${Math.floor(s / 3600)} h`;
    return `${Math.floor(s / 86400)} d`;
  }

  const ago = (ms) => (ms < 1500 ? 'just now' : `${shortDuration(ms)} ago`);
  const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

  /* ---- the gateway's clock: ages are told by it, not by the viewer's ---- */

  let clockOffset = 0; // gateway minus viewer
  const gatewayNow = () => Date.now() + clockOffset;

  /* ---- series and charts ---- */

  const WINDOW_MS = 600000, GAP_MS = 5000, POINTS_MAX = 1400;
  const WIDTH = 600, HEIGHT = 120, TOP = 8;
  const NS = 'http://www.w3.org/2000/svg';

  function svg(tag, attributes) {
    const node = document.createElementNS(NS, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  /* 1, 2 or 5 times a power of ten, not below n: the top of a scale. */
  function niceTop(n) {
    if (!(n > 0)) return 1;
    const step = 10 ** Math.floor(Math.log10(n));
    return step * [1, 2, 2.5, 5, 10].find((m) => m * step >= n * 0.9999);
  }

  class Chart {
    constructor(id, series, title, format, wholeNumbers) {
      this.series = series;
      this.format = format;
      this.lowestTop = wholeNumbers ? 4 : 1;
      this.points = []; // [ms, value], oldest first
      this.cursor = null; // ms looked at
      this.build(byId(id), title);
    }

    build(figure, title) {
      this.title = title;
      this.read = make('span', { class: 'chart-read' });
      this.top = make('span', { class: 'y' });
      this.middle = make('span', { class: 'y' });
      this.mark = make('i', { class: 'mark', hidden: true });
      this.area = svg('path', { class: 'area' });
      this.curve = svg('path', { class: 'curve' });
      this.cross = svg('line', { class: 'cross', y1: 0, y2: HEIGHT, visibility: 'hidden' });
      this.picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
      for (const y of [TOP, (TOP + HEIGHT) / 2, HEIGHT])
        this.picture.append(svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: y, y2: y }));
      this.picture.append(this.area, this.curve, this.cross);
      this.plot = make('div', { class: 'plot', tabindex: 0, role: 'img' }, this.picture, this.top, this.middle, this.mark);
      figure.append(make('figcaption', {}, make('b', {}, title), this.read), this.plot,
        make('div', { class: 'x', 'aria-hidden': 'true' }, make('span', {}, '10 min ago'), make('span', {}, 'now')));
      this.top.style.top = `${(TOP / HEIGHT) * 100}%`;
      this.middle.style.top = `${((TOP + HEIGHT) / 2 / HEIGHT) * 100}%`;
      this.listen();
    }

    listen() {
      const point = (event) => {
        const box = this.plot.getBoundingClientRect();
        this.look(this.end() - WINDOW_MS * (1 - (event.clientX - box.left) / box.width));
      };
      this.plot.addEventListener('pointermove', point);
      this.plot.addEventListener('pointerdown', point);
      this.plot.addEventListener('pointerleave', () => this.look(null));
      this.plot.addEventListener('blur', () => this.look(null));
      this.plot.addEventListener('keydown', (event) => this.onKey(event));
    }

    onKey(event) {
      const steps = { ArrowLeft: -5000, ArrowRight: 5000, PageUp: -60000, PageDown: 60000 };
      if (event.key === 'Escape') return this.look(null);
      if (!(event.key in steps)) return;
      event.preventDefault();
      const at = (this.cursor === null ? this.end() : this.cursor) + steps[event.key];
      this.look(Math.min(Math.max(at, this.end() - WINDOW_MS), this.end()));
    }

    look(ms) {
      this.cursor = ms;
      this.draw();
    }

    end() {
      return this.points.length > 0 ? this.points[this.points.length - 1][0] : gatewayNow();
    }

    /* History first, then what came live since. */
    prefill(points) {
      const first = this.points.length > 0 ? this.points[0][0] : Infinity;
      const older = points.filter((p) => Array.isArray(p) && Number.isFinite(p[0]) && Number.isFinite(p[1]) && p[0] < first);
      this.points = older.concat(this.points).slice(-POINTS_MAX);
      this.draw();
    }

    add(ms, value) {
      if (!Number.isFinite(value) || !Number.isFinite(ms)) return;
      const last = this.points[this.points.length - 1];
      if (last && ms < last[0] - GAP_MS) this.points = []; // the gateway's clock was set back
      else if (last && ms <= last[0]) return;
      this.points.push([ms, value]);
      while (this.points.length > POINTS_MAX || this.points[0][0] < ms - WINDOW_MS - GAP_MS) this.points.shift();
      this.draw();
    }

    draw() {
      const end = this.end(), start = end - WINDOW_MS;
      const shown = this.points.filter((p) => p[0] >= start - GAP_MS);
      const top = niceTop(Math.max(this.lowestTop, ...shown.map((p) => p[1])));
      const x = (ms) => ((ms - start) / WINDOW_MS) * WIDTH;
      const y = (value) => HEIGHT - (value / top) * (HEIGHT - TOP);
      let curve = '', area = '', from = 0;
      shown.forEach((p, i) => {
        const begins = i === 0 || p[0] - shown[i - 1][0] > GAP_MS;
        if (begins) from = x(p[0]);
        curve += `${begins ? 'M' : 'L'}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`;
        area += `${begins ? `M${from.toFixed(1)} ${HEIGHT}L` : 'L'}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`;
        if (i === shown.length - 1 || shown[i + 1][0] - p[0] > GAP_MS) area += `L${x(p[0]).toFixed(1)} ${HEIGHT}Z`;
      });
      this.curve.setAttribute('d', curve);
      this.area.setAttribute('d', area);
      setText(this.top, this.format(top));
      setText(this.middle, this.format(top / 2));
      this.drawReading(shown, x, y);
    }

    drawReading(shown, x, y) {
      const at = this.cursor === null ? null : nearest(shown, this.cursor);
      this.cross.setAttribute('visibility', at ? 'visible' : 'hidden');
      this.mark.hidden = !at;
      if (at) {
        this.cross.setAttribute('x1', x(at[0]));
        this.cross.setAttribute('x2', x(at[0]));
        this.mark.style.left = `${(x(at[0]) / WIDTH) * 100}%`;
        this.mark.style.top = `${(y(at[1]) / HEIGHT) * 100}%`;
        this.read.replaceChildren(`${clock.format(at[0])} `, make('b', {}, this.format(at[1])));
      } else {
        const peak = shown.reduce((m, p) => Math.max(m, p[1]), 0);
        setText(this.read, shown.length > 0 ? `peak ${this.format(peak)}` : 'no data yet');
      }
      const now = shown.length > 0 ? this.format(shown[shown.length - 1][1]) : 'no data yet';
      setAttribute(this.plot, 'aria-label', at ? `${this.title}, ${clock.format(at[0])}: ${this.format(at[1])}` : `${this.title}, the last ten minutes; now ${now}`);
    }
  }

  function nearest(points, ms) {
    let best = null;
    for (const p of points) if (!best || Math.abs(p[0] - ms) < Math.abs(best[0] - ms)) best = p;
    return best;
  }

  const charts = {
    in: new Chart('chart-in', 'in', 'Messages in', (n) => `${rate(n)}/s`, false),
    cloud: new Chart('chart-cloud', 'cloud', 'Sent to cloud', (n) => `${rate(n)}/s`, false),
    waiting: new Chart('chart-waiting', 'waiting', 'Waiting in the queue', (n) => count(Math.round(n)), true),
  };

  async function fetchHistory() {
    const since = Math.max(0, Math.floor(gatewayNow() - WINDOW_MS));
    for (const chart of Object.values(charts)) {
      try {
        const response = await fetch(`/api/v1/history?series=${chart.series}&since=${since}`);
        if (response.ok) chart.prefill(array(object(await response.json()).points));
      } catch { /* the live values draw it in time */ }
    }
  }

  /* ---- the cloud link ---- */

  const STATES = {
    online: 'online', stalled: 'stalled', connecting: 'connecting', offline: 'offline', disabled: 'off',
  };

  function drawPill(cloud) {
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

  function drawCloudNote(cloud) {
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
    });
  }

  function drawCloudFacts(cloud) {
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

  function drawFigures(status) {
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
    setIdText('lost-text', lost > 0 ? `last ${lastLoss(lanes)}` : 'nothing, ever');
    setAttribute(byId('lost-figure'), 'data-bad', lost > 0);
  }

  function lastLoss(lanes) {
    const last = Math.max(0, ...lanes.flatMap((lane) => array(lane.losses).map((loss) => number(loss.last_ms))));
    return last > 0 ? ago(gatewayNow() - last) : 'unknown';
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
      facts.push(make('span', {}, make('i', { class: 'key' }), `${count(number(lane.on_disk))} on disk`));
      facts.push(make('span', {}, make('i', { class: 'key memory' }), `${count(memory)} in memory`));
      facts.push(size(lane.waiting_bytes));
      if (lane.oldest_ms > 0) facts.push(`oldest ${duration(gatewayNow() - lane.oldest_ms)}`);
    }
    facts.push(`${count(number(lane.delivered))} delivered`);
    if (lane.lost > 0) facts.push(make('span', { class: 'lost' }, `${count(lane.lost)} lost`));
    return facts.map((fact) => (typeof fact === 'string' ? make('span', {}, fact) : fact));
  }

  function drawQueue(store) {
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
    drawLedger(lanes, store);
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
    expired: 'older than it may be', thinned: 'thinned to make room', full: 'no room', dead: 'refused by the cloud',
    corrupt: 'damaged on disk', purged: 'purged by hand',
  };

  function drawLedger(lanes, store) {
    const rows = lanes.flatMap((lane) => array(lane.losses).filter((loss) => loss.count > 0).map((loss) => ({ ...loss, lane: lane.name })));
    const ledger = byId('ledger');
    const shape = JSON.stringify([rows, store.dead]);
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

  function drawDiskNote(store) {
    const broken = store.disk_ok === false;
    byId('disk-note').hidden = !broken && !store.set_aside;
    setAttribute(byId('disk-note'), 'data-state', broken ? 'offline' : 'stalled');
    setIdText('disk-note-title', broken ? 'The disk takes no messages' : 'The queue began afresh');
    setIdText('disk-note-text', broken
      ? sentence(`${store.disk_error || 'writing fails'}; what waits is kept in memory only`)
      : sentence(`the old database failed its check and was set aside as ${store.set_aside}`));
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

  function drawRules(rules) {
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
      reading.replaceChildren(...readingOf(text));
    }
    age.dataset.ts = number(sensor.ts);
    setAttribute(age, 'title', `${stamp(sensor.ts)}, ${plural(number(sensor.count), 'message', 'messages')}`);
    updateAge(age);
  }

  function updateAge(node) {
    const age = gatewayNow() - Number(node.dataset.ts);
    setText(node, ago(age));
    setAttribute(node, 'data-old', age > OLD_MS);
  }

  function drawSensors(sensors) {
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

  function drawGpio(lines) {
    byId('gpio-card').hidden = lines.length === 0;
    sync(byId('gpio'), lines, (line) => line.name, createLine, updateLine);
  }

  function drawBroker(status) {
    const broker = object(status.broker);
    const clients = Number.isFinite(broker.clients) ? broker.clients : status.clients;
    setIdText('clients', Number.isFinite(clients) ? count(clients) : '–');
    setIdText('clients-word', clients === 1 ? 'client' : 'clients');
    syncOrSay(byId('listeners'), array(broker.listeners), 'No listener is open.', (l) => `${l.name} ${l.protocol} ${l.address}`,
      (l) => make('li', {}, make('span', {}, String(l.name), make('span', { class: 'badge' }, String(l.protocol))), make('span', { class: 'where' }, String(l.address))),
      () => {});
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

  function drawEvents(events) {
    const strict = byId('events-filter').checked;
    const shown = events.filter((event) => !strict || event.level === 'warn' || event.level === 'error').slice(0, 100);
    syncOrSay(byId('events'), shown, strict ? 'No warnings, no errors.' : 'Nothing has happened yet.',
      (event) => event.number || `${event.ts} ${event.unit} ${event.text}`, createEvent,
      (node, event) => setText(node.firstElementChild, number(event.ts) > 0 ? ago(gatewayNow() - event.ts) : ''));
  }

  /* ---- all of it ---- */

  let status = null;

  function drawGateway(gateway) {
    setIdText('gateway-id', gateway.id || 'Sluice');
    const title = `${gateway.id || 'gateway'} · Sluice`;
    if (document.title !== title) document.title = title;
    setIdText('version', gateway.version || '–');
    setIdText('uptime', Number.isFinite(gateway.uptime_ms) ? duration(gateway.uptime_ms) : '–');
    setIdText('memory', Number.isFinite(gateway.rss_bytes) ? size(gateway.rss_bytes) : '–');
  }

  /* What changes with the clock alone. */
  function drawTimes() {
    if (!status) return;
    const cloud = object(status.cloud);
    setIdText('cloud-since', cloud.since > 0 ? shortDuration(gatewayNow() - cloud.since) : '');
    const next = number(cloud.next_attempt_ms) - gatewayNow();
    const trying = cloud.state === 'offline' || cloud.state === 'connecting' || cloud.state === 'stalled';
    setIdText('cloud-note-next', trying && next > 0 ? `Next try in ${duration(next + 999)}. Messages wait in the queue meanwhile.`
      : trying ? 'Messages wait in the queue meanwhile.' : '');
    for (const node of byId('sensors').getElementsByClassName('age')) updateAge(node);
  }

  function draw() {
    const s = object(status), store = object(s.store), cloud = object(s.cloud);
    drawGateway(object(s.gateway));
    drawPill(cloud);
    drawCloudNote(cloud);
    drawCloudFacts(cloud);
    drawDiskNote(store);
    drawFigures(s);
    drawQueue(store);
    drawRules(array(s.rules));
    drawSensors(array(s.sensors));
    drawGpio(array(s.gpio));
    drawBroker(s);
    drawEvents(array(s.events));
    drawTimes();
  }

  let gatewayStarted = null;

  function take(next) {
    const gateway = object(next.gateway), rates = object(next.rates), store = object(next.store);
    const now = Number.isFinite(gateway.now_ms) ? gateway.now_ms : Date.now();
    clockOffset = now - Date.now();
    if (gatewayStarted !== null && gateway.started_ms !== gatewayStarted) reduction.first = null; // its counters begin anew
    gatewayStarted = gateway.started_ms;
    status = next;
    charts.in.add(now, rates.in_per_s);
    charts.cloud.add(now, rates.cloud_per_s);
    charts.waiting.add(now, store.messages);
    document.body.dataset.state = 'ready';
    draw();
    heard();
  }

  /* ---- is anybody there? ---- */

  const STALE_MS = 4000;
  let lastHeard = Date.now(), everHeard = false, signedOut = false;

  function heard() {
    if (!everHeard || Date.now() - lastHeard > 3 * STALE_MS) fetchHistory(); // first, and after a gap
    everHeard = true;
    signedOut = false;
    lastHeard = Date.now();
    drawStale();
  }

  function drawStale() {
    const silent = Date.now() - lastHeard;
    const stale = !document.hidden && (signedOut || silent > STALE_MS);
    byId('stale').hidden = !stale;
    document.body.toggleAttribute('data-stale', stale && everHeard);
    if (!stale) return;
    setIdText('stale-title', signedOut ? 'You are signed out.' : 'The gateway does not answer.');
    setIdText('stale-text', signedOut ? 'Reload the page to sign in.'
      : everHeard ? `What you see is ${duration(silent)} old. Trying again…` : 'Trying again…');
  }

  /* ---- the live socket, and fetching where it does not get through ---- */

  const RETRY_MS_MIN = 1000, RETRY_MS_MAX = 15000, POLL_MS = 2500;
  let socket = null, retry = RETRY_MS_MIN, retryTimer = 0, fetching = false;

  const isLive = () => socket !== null && socket.readyState === WebSocket.OPEN;

  function connect() {
    clearTimeout(retryTimer);
    if (document.hidden || (socket && socket.readyState <= WebSocket.OPEN)) return;
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const own = new WebSocket(`${scheme}//${location.host}/api/v1/live`);
    socket = own;
    own.onopen = () => watchAgain();
    own.onmessage = (event) => onMessage(event.data);
    own.onclose = () => {
      if (socket === own) socket = null;
      if (!document.hidden) retryTimer = setTimeout(connect, retry * (0.7 + 0.6 * Math.random()));
      retry = Math.min(retry * 2, RETRY_MS_MAX);
    };
  }

  function onMessage(text) {
    let message;
    try { message = object(JSON.parse(text)); } catch { return; }
    if (message.type === 'status') {
      retry = RETRY_MS_MIN;
      take(object(message.status));
    } else onTapped(message);
  }

  async function poll() {
    if (fetching || document.hidden || Date.now() - lastHeard < POLL_MS) return;
    fetching = true;
    try {
      const response = await fetch('/api/v1/status', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
      if (response.ok) take(object(await response.json()));
      else signedOut = response.status === 401;
    } catch { /* the banner says it */ } finally {
      fetching = false;
    }
  }

  /* ---- watching topics ---- */

  const MESSAGES_MAX = 100;
  let watched = '', tapped = 0;

  function watchAgain() {
    if (watched && isLive()) socket.send(JSON.stringify({ watch: [watched] }));
  }

  function onWatch(event) {
    event.preventDefault();
    const filter = byId('watch-filter').value.trim();
    const stop = watched !== '' && (filter === watched || filter === '');
    watched = stop ? '' : filter;
    if (isLive()) socket.send(JSON.stringify({ watch: watched ? [watched] : [] }));
    setText(byId('watch-text'), watched && !isLive() ? 'needs the live connection' : '');
    if (watched) byId('messages').replaceChildren();
    tapped = 0;
    drawWatchButton();
  }

  function drawWatchButton() {
    const filter = byId('watch-filter').value.trim();
    setText(byId('watch-button'), watched !== '' && (filter === watched || filter === '') ? 'Stop' : 'Watch');
  }

  function onTapped(message) {
    if (message.type === 'message') return addMessage(message);
    if (message.type === 'dropped') return addLine(make('li', { class: 'gap' }, `${plural(number(message.count), 'message', 'messages')} left out: they came too fast`));
    const refused = list(message.refused);
    if (message.type === 'error' || refused.length > 0) {
      watched = '';
      drawWatchButton();
      setIdText('watch-text', message.error || 'you may not read this topic');
    } else if (message.type === 'watching') setIdText('watch-text', watched ? 'watching' : '');
  }

  function addMessage(message) {
    const payload = typeof message.payload === 'string' ? message.payload : `base64 ${message.payload_base64 || ''}`;
    setIdText('watch-text', plural(++tapped, 'message', 'messages'));
    addLine(make('li', {}, make('span', {}, `${clock.format(number(message.ts))} ${message.topic}${message.retain ? ' · retained' : ''}`),
      payload.length > 600 ? `${payload.slice(0, 600)}…` : payload));
  }

  function addLine(node) {
    const list = byId('messages');
    list.hidden = false;
    list.prepend(node);
    while (list.children.length > MESSAGES_MAX) list.lastElementChild.remove();
  }

  /* ---- begin ---- */

  function onVisible() {
    if (document.hidden) {
      if (socket) socket.close(); // nobody looks: the gateway need not talk
      return;
    }
    lastHeard = Math.max(lastHeard, Date.now() - POLL_MS);
    retry = RETRY_MS_MIN;
    connect();
  }

  byId('watch-form').addEventListener('submit', onWatch);
  byId('watch-filter').addEventListener('input', drawWatchButton);
  byId('sensors-search').addEventListener('input', () => drawSensors(array(object(status).sensors)));
  byId('events-filter').addEventListener('change', () => drawEvents(array(object(status).events)));
  document.addEventListener('visibilitychange', onVisible);
  window.addEventListener('online', connect);
  setInterval(() => { drawTimes(); drawStale(); poll(); }, 1000);
  connect();
})();
