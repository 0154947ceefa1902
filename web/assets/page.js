/* page.js - nodes, and numbers and times as people read them. Everything from the gateway ends up in text
 * nodes and attributes, never in markup. */

/* ---- the document ---- */

export const byId = (id) => document.getElementById(id);

/** make('li', {class: 'x', title: 't'}, 'text', node, ...) */
export function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) setAttribute(node, key, value);
  node.append(...children);
  return node;
}

export function setAttribute(node, key, value) {
  const want = value === true ? '' : value;
  if (want === false || want === null || want === undefined) node.removeAttribute(key);
  else if (node.getAttribute(key) !== String(want)) node.setAttribute(key, want);
}

export function setText(node, text) {
  const want = text === null || text === undefined ? '' : String(text);
  if (node.textContent !== want) node.textContent = want;
}

export const setIdText = (id, text) => setText(byId(id), text);

/* Keeps the children of `list` in step with `items`: nodes stay as long as their key does, so that a
 * selection, an open <details> or the focus survives an update. */
export function sync(list, items, keyOf, create, update) {
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

export function syncOrSay(list, items, empty, keyOf, create, update) {
  if (items.length > 0) return sync(list, items, keyOf, create, update);
  if (list.children.length !== 1 || !list.firstElementChild.classList.contains('empty'))
    list.replaceChildren(make('li', { class: 'empty' }, empty));
  else setText(list.firstElementChild, empty);
}

export const array = (value) => (Array.isArray(value) ? value.filter((x) => x && typeof x === 'object') : []);
export const list = (value) => (Array.isArray(value) ? value : []);
export const object = (value) => (value && typeof value === 'object' ? value : {});
export const number = (value) => (Number.isFinite(value) ? value : 0);

/* ---- numbers, sizes, times ---- */

export const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
export const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
export const day = new Intl.DateTimeFormat('en-CA', { dateStyle: 'short' });
export const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
export const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

export const count = (n) => (n >= 1e6 ? short.format(n) : whole.format(n));

export function rate(n) {
  if (!Number.isFinite(n)) return '–';
  return n >= 100 ? count(n) : n === 0 ? '0' : n.toFixed(n < 1 ? 2 : 1);
}

export function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let n = number(bytes), i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return m < 10 && s % 60 ? `${m} min ${s % 60} s` : `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  const d = Math.floor(h / 24);
  return h % 24 && d < 10 ? `${d} d ${h % 24} h` : `${d} d`;
}

export function shortDuration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export const ago = (ms) => (ms < 1500 ? 'just now' : `${shortDuration(ms)} ago`);
export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

/* ---- the gateway's clock: ages are told by it, not by the viewer's ---- */

let clockOffset = 0; // gateway minus viewer
export const gatewayNow = () => Date.now() + clockOffset;
export const setGatewayNow = (ms) => { clockOffset = ms - Date.now(); };
