// Charts as inline SVG: axes with units, a legend with the newest values, a cursor that tells any other, and the same as
// a table for who cannot see. Lines differ in colour and in dashes.

import { clock, seconds, scale } from "./format.js";
import { element, say } from "./tables.js";

const SVG = "http://www.w3.org/2000/svg";
const STYLES = ["first", "second", "third"];
const MARGIN = { left: 46, right: 8, top: 8, bottom: 20 };
const SPAN_MS = 900_000;
const LEAST_SPAN_MS = 120_000;
const TICKS_MS = [30_000, 60_000, 180_000];
const MOST_TICKS = 6;
const LETTER = 6.4; // a digit's width at most
const ROW_MS = 60_000; // of the table

export function shape(tag, properties = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  put(made, properties);
  made.append(...children);
  return made;
}

/** Sets attributes that are others than before. */
export function put(node, properties) {
  for (const [key, value] of Object.entries(properties)) {
    const text = String(value);
    if (node.getAttribute(key) !== text) node.setAttribute(key, text);
  }
}

/** How far back points are shown: as far as they go, within bounds. */
export const spanOf = (points) => Math.min(SPAN_MS, Math.max(LEAST_SPAN_MS, points.at(-1).at_ms - points[0].at_ms));

/** A path through points; null breaks it, and a point that stands alone is a dot. */
export function path(points) {
  let line = "";
  let open = false;
  points.forEach((point, index) => {
    if (point === null) {
      open = false;
      return;
    }
    const [x, y] = point;
    line += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (!open && (points[index + 1] ?? null) === null) line += "h0.1";
    open = true;
  });
  return line;
}

/** A group of labels and grid lines that is changed in place. */
export class Axis {
  #group;
  #vertical;

  constructor(svg, vertical) {
    this.#group = shape("g", { "aria-hidden": "true" });
    this.#vertical = vertical;
    svg.append(this.#group);
  }

  /** `ticks`: [position, label]. */
  draw(ticks, box) {
    while (this.#group.childNodes.length > ticks.length) this.#group.lastChild.remove();
    let taken = -Infinity; // up to where labels go; one that would touch another is left out
    ticks.forEach(([at, label], index) => {
      if (!this.#group.childNodes[index]) this.#group.append(shape("g", {}, shape("line"), shape("text")));
      const [line, text] = this.#group.childNodes[index].childNodes;
      if (this.#vertical) {
        put(line, { class: index ? "grid" : "axis", x1: box.left, x2: box.right, y1: at, y2: at });
        put(text, { x: box.left - 6, y: at + 4, "text-anchor": "end" });
      } else {
        put(line, { class: "axis", x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4 });
        // A label at an edge must not be cut off.
        const width = label.length * LETTER;
        const start = Math.max(0, Math.min(at - width / 2, box.right + MARGIN.right - width));
        put(text, { x: start, y: box.bottom + 16, "text-anchor": "start", visibility: start < taken ? "hidden" : "visible" });
        if (start >= taken) taken = start + width + LETTER;
      }
      say(text, label);
    });
  }
}

/** The frame of a chart: an SVG with a name and a description, drawn anew when its width changes. */
export class Frame {
  #title = shape("title");
  #description = shape("desc");
  #draw;
  #height;

  constructor(host, id, draw, height = 190) {
    this.#draw = draw;
    this.#height = height;
    put(this.#title, { id: `${id}-name` });
    put(this.#description, { id: `${id}-desc` });
    this.svg = shape("svg", { role: "img", "aria-labelledby": `${id}-name`, "aria-describedby": `${id}-desc` });
    this.svg.append(this.#title, this.#description);
    this.svg.style.height = `${height}px`;
    host.append(element("div", { class: "chart" }, this.svg));
    this.width = 0;
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (width && width !== this.width) {
        this.width = width;
        this.#draw();
      }
    }).observe(this.svg);
  }

  get box() {
    const height = this.#height;
    put(this.svg, { viewBox: `0 0 ${this.width} ${height}` });
    return { left: MARGIN.left, right: this.width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
  }

  describe(title, description) {
    say(this.#title, title);
    say(this.#description, description);
  }
}

/** Lines over the last quarter of an hour. `series`: [{key, label}], at most three. */
export class LineChart {
  #series;
  #format;
  #tick;
  #frame;
  #paths;
  #vertical;
  #horizontal;
  #cursor = shape("line", { class: "cursor", visibility: "hidden" });
  #values;
  #time;
  #points = [];
  #table;
  #title;

  constructor(figure, { title, series, format, tick }) {
    this.#series = series;
    this.#format = format;
    this.#tick = tick;
    this.#title = title;
    this.#values = series.map(() => element("b", {}, "–"));
    this.#time = element("li", { class: "unseen-time" });
    const legend = series.map((one, index) => {
      const line = shape("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" });
      line.append(shape("path", { class: `stroke ${STYLES[index]}`, d: "M1 4H21" }));
      return element("li", {}, line, `${one.label} `, this.#values[index]);
    });
    figure.append(element("ul", { class: "legend" }, ...legend, this.#time));
    this.#frame = new Frame(figure, figure.id, () => this.#draw());
    const { svg } = this.#frame;
    this.#vertical = new Axis(svg, true);
    this.#horizontal = new Axis(svg, false);
    this.#paths = series.map((_, index) => shape("path", { class: `stroke ${STYLES[index]}` }));
    svg.append(...this.#paths, this.#cursor);
    svg.addEventListener("pointermove", (event) => this.#point(event));
    svg.addEventListener("pointerleave", () => this.#point(null));
    this.#table = this.#asTable(figure);
  }

  /** `points`: rows as objects with at_ms. */
  show(points) {
    this.#points = points;
    this.#draw();
    if (this.#table.open) this.#fill();
  }

  #draw() {
    const points = this.#points;
    if (!this.#frame.width || !points.length) return;
    const box = this.#frame.box;
    const now = points.at(-1).at_ms;
    const { top, step } = scale(Math.max(...points.map((one) => Math.max(...this.#series.map((s) => one[s.key] ?? 0)))));
    const span = spanOf(points);
    this.x = (ms) => box.right - ((now - ms) / span) * (box.right - box.left);
    const y = (value) => box.bottom - (value / top) * (box.bottom - box.top);
    const levels = [];
    for (let value = 0; value <= top + step / 2; value += step) levels.push([y(value), this.#tick(value)]);
    this.#vertical.draw(levels, box);
    const times = [];
    const tick = TICKS_MS.find((one) => span / one <= MOST_TICKS);
    const label = tick < ROW_MS ? seconds : clock;
    for (let ms = Math.ceil((now - span) / tick) * tick; ms <= now; ms += tick) times.push([this.x(ms), label(ms)]);
    this.#horizontal.draw(times, box);
    this.#series.forEach((one, index) => {
      const line = points.map((p) => (p[one.key] === null ? null : [this.x(p.at_ms), y(p[one.key])]));
      put(this.#paths[index], { d: path(line) });
    });
    put(this.#cursor, { y1: box.top, y2: box.bottom });
    this.#tell(points.at(-1), false);
    const most = this.#series.map((one) => {
      const known = points.map((p) => p[one.key]).filter((value) => value !== null);
      return `${one.label} at most ${known.length ? this.#format(Math.max(...known)) : "nothing"}`;
    });
    this.#frame.describe(this.#title, `${most.join(", ")}. The same as a table below.`);
  }

  #point(event) {
    const points = this.#points;
    if (!points.length || !this.x) return;
    if (event === null) {
      put(this.#cursor, { visibility: "hidden" });
      this.#tell(points.at(-1), false);
      return;
    }
    const at = event.clientX - this.#frame.svg.getBoundingClientRect().left;
    let near = points[0];
    for (const one of points) if (Math.abs(this.x(one.at_ms) - at) < Math.abs(this.x(near.at_ms) - at)) near = one;
    put(this.#cursor, { x1: this.x(near.at_ms), x2: this.x(near.at_ms), visibility: "visible" });
    this.#tell(near, true);
  }

  #tell(point, past) {
    this.#series.forEach((one, index) => say(this.#values[index], this.#format(point[one.key])));
    say(this.#time, past ? `at ${seconds(point.at_ms)}` : "");
  }

  // --- the same as a table ---

  #asTable(figure) {
    const heads = ["Time", ...this.#series.map((one) => one.label)];
    const head = heads.map((one, index) => element("th", { scope: "col", class: index ? "number" : "" }, one));
    const caption = element("caption", { class: "unseen" }, `${this.#title}, minute by minute`);
    const table = element("table", {}, caption, element("thead", {}, element("tr", {}, ...head)), element("tbody"));
    const region = element("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": `${this.#title}, as a table` }, table);
    const details = element("details", {}, element("summary", {}, "As a table"), region);
    details.addEventListener("toggle", () => details.open && this.#fill());
    figure.append(details);
    return details;
  }

  #fill() {
    const body = this.#table.querySelector("tbody");
    const rows = [];
    let minute = -1;
    for (const point of [...this.#points].reverse()) {
      const of = Math.floor(point.at_ms / ROW_MS);
      if (of === minute) continue;
      minute = of;
      const cells = this.#series.map((one) => element("td", { class: "number" }, this.#format(point[one.key])));
      rows.push(element("tr", {}, element("th", { scope: "row" }, seconds(point.at_ms)), ...cells));
    }
    body.replaceChildren(...rows);
  }
}

/** A line without words, beside a number. */
export class Spark {
  #path = shape("path");

  constructor() {
    this.svg = shape("svg", { viewBox: "0 0 64 26", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.svg.append(this.#path);
  }

  show(points, key) {
    const now = points.at(-1).at_ms;
    const span = spanOf(points);
    const most = Math.max(...points.map((one) => one[key] ?? 0)) || 1;
    put(this.#path, {
      d: path(points.map((p) => (p[key] === null ? null : [63 - ((now - p.at_ms) / span) * 62, 25 - (p[key] / most) * 23]))),
    });
  }
}
