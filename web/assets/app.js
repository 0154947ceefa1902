/* app.js - the page's way to the gateway: the live WebSocket, fetching where that does not get through, and
 * saying so when nobody answers. */
import { Chart, WINDOW_MS } from '/chart.js';
import {
  array, byId, clock, count, duration, gatewayNow, list, make, number, object, plural, rate, setGatewayNow,
  setIdText, setText, shortDuration, size,
} from '/page.js';
import {
  drawBroker, drawCloudFacts, drawCloudNote, drawDiskNote, drawEvents, drawFigures, drawGpio, drawPill, drawQueue,
  drawRules, drawSensors, drawSpent, forgetCounters, updateAge,
} from '/sections.js';

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
  drawSpent(s);
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
  setGatewayNow(now);
  if (gatewayStarted !== null && gateway.started_ms !== gatewayStarted) forgetCounters();
  gatewayStarted = gateway.started_ms;
  status = next;
  charts.in.add(now, rates.in_per_s);
  charts.cloud.add(now, rates.cloud_per_s);
  charts.waiting.add(now, store.messages);
  document.body.dataset.state = 'ready';
  draw();
  heard();
}

/* ---- charts ---- */

const charts = {
  in: new Chart('chart-in', 'in', 'Messages in', (n) => `${rate(n)}/s`, false),
  cloud: new Chart('chart-cloud', 'cloud', 'Sent to cloud', (n) => `${rate(n)}/s`, false),
  waiting: new Chart('chart-waiting', 'waiting', 'Waiting in queue', (n) => count(Math.round(n)), true),
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
  const messages = byId('messages');
  messages.hidden = false;
  messages.prepend(node);
  while (messages.children.length > MESSAGES_MAX) messages.lastElementChild.remove();
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
