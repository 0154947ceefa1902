/* chart.js - the last ten minutes of one rate, as an SVG line that can be looked at with pointer or keys. */

import { byId, clock, gatewayNow, make, setAttribute, setText } from '/page.js';

export const WINDOW_MS = 600000;
const GAP_MS = 5000; // a longer silence is a hole in the line
const POINTS_MAX = 1400;
const WIDTH = 600, HEIGHT = 120, TOP = 8;
const scale = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });
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

export class Chart {
  constructor(id, series, title, format, wholeNumbers) {
    this.series = series;
    this.format = format;
    this.lowestTop = wholeNumbers ? 4 : 1;
    this.unit = wholeNumbers ? '' : '/s';
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

  axis(value) {
    return `${scale.format(value)}${this.unit}`;
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
    setText(this.top, this.axis(top));
    setText(this.middle, this.axis(top / 2));
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
