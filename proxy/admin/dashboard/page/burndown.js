// What is left of a budget over its period: what was spent, an even pace beside it, and where it leads.

import { Axis, Frame, path, put, shape } from "./charts.js";
import { clock, day, dollars, scale } from "./format.js";
import { element, say } from "./tables.js";

const HOUR = 3_600_000;
const STEPS = [HOUR / 4, HOUR, 3 * HOUR, 6 * HOUR, 24 * HOUR, 48 * HOUR, 120 * HOUR];
const MOST_TICKS = 7;
const HEIGHT = 290;

/** Sentences that say what the chart shows. Pure. */
export function summary(chart) {
  const said = [`${dollars(chart.left_usd)} of ${dollars(chart.amount_usd)} are left`];
  if (chart.held_usd > 0) said[0] += `, ${dollars(chart.held_usd)} held by calls under way`;
  const when = (ms) => (chart.end_ms - chart.start_ms > 36 * HOUR ? `on ${day(ms)} at ${clock(ms)}` : `at ${clock(ms)}`);
  if (chart.forecast === null) said.push("too early, or too little, for a forecast");
  else if (chart.forecast.gone_ms !== null) said.push(`at this pace it is used up ${when(chart.forecast.gone_ms)}`);
  else said.push(`at this pace ${dollars(chart.forecast.left_usd)} will be left`);
  return `${said.join("; ")}.`;
}

export class Burndown {
  #frame;
  #vertical;
  #horizontal;
  #area = shape("path", { class: "area" });
  #spent = shape("path", { class: "stroke first" });
  #even = shape("path", { class: "stroke even" });
  #ahead = shape("path", { class: "stroke second" });
  #now = shape("line", { class: "now" });
  #nowText = shape("text");
  #note;
  #title;
  #chart = null;
  #name = "";

  constructor(figure) {
    this.#title = figure.querySelector("figcaption");
    const legend = [["first", "left"], ["second", "forecast"], ["even", "even pace"]].map(([style, word]) => {
      const line = shape("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, shape("path", { class: `stroke ${style}`, d: "M1 4H21" }));
      return element("li", {}, line, word);
    });
    figure.append(element("ul", { class: "legend" }, ...legend));
    this.#frame = new Frame(figure, figure.id, () => this.#draw(), HEIGHT);
    const { svg } = this.#frame;
    this.#vertical = new Axis(svg, true);
    this.#horizontal = new Axis(svg, false);
    svg.append(this.#area, this.#even, this.#now, this.#nowText, this.#ahead, this.#spent);
    this.#note = element("p", { class: "chart-note" });
    figure.append(this.#note);
  }

  /** `chart`: null where nothing can be drawn, and `why`. */
  show(name, chart, why = "") {
    this.#name = name;
    this.#chart = chart;
    say(this.#title, chart ? `What is left of ${name}` : name || "What is left");
    this.#frame.svg.style.visibility = chart ? "visible" : "hidden";
    say(this.#note, chart ? summary(chart) : why);
    if (chart) this.#draw();
  }

  #draw() {
    const chart = this.#chart;
    if (!chart || !this.#frame.width) return;
    const box = this.#frame.box;
    const low = Math.min(0, chart.left_usd, ...chart.points.map(([, left]) => left));
    const { top, step } = scale(Math.max(chart.amount_usd, 1e-9));
    const bottom = low < 0 ? -Math.ceil(-low / step) * step : 0;
    const x = (ms) => box.left + ((ms - chart.start_ms) / (chart.end_ms - chart.start_ms)) * (box.right - box.left);
    const y = (usd) => box.bottom - ((usd - bottom) / (top - bottom)) * (box.bottom - box.top);
    const levels = [];
    for (let usd = bottom; usd <= top + step / 2; usd += step) levels.push([y(usd), money(usd, step)]);
    this.#vertical.draw(levels, box);
    this.#horizontal.draw(this.#times(chart).map(([ms, label]) => [x(ms), label]), box);
    const line = chart.points.map(([ms, left]) => [x(ms), y(left)]);
    put(this.#spent, { d: path(line) });
    const last = line.at(-1);
    put(this.#area, { d: `${path(line)}L${last[0].toFixed(1)} ${y(0)}L${line[0][0].toFixed(1)} ${y(0)}Z` });
    put(this.#even, { d: path([[x(chart.start_ms), y(chart.amount_usd)], [x(chart.end_ms), y(0)]]) });
    const ahead = chart.forecast;
    const end = ahead && (ahead.gone_ms === null ? [x(chart.end_ms), y(ahead.left_usd)] : [x(ahead.gone_ms), y(0)]);
    put(this.#ahead, { d: end ? path([last, end]) : "" });
    put(this.#now, { x1: last[0], x2: last[0], y1: box.top, y2: box.bottom });
    const right = last[0] > box.right - 40;
    put(this.#nowText, { x: last[0] + (right ? -4 : 4), y: box.top + 9, "text-anchor": right ? "end" : "start" });
    say(this.#nowText, "now");
    this.#frame.describe(`What is left of ${this.#name}`, summary(chart));
  }

  #times(chart) {
    const length = chart.end_ms - chart.start_ms;
    const step = STEPS.find((one) => length / one <= MOST_TICKS + 1) ?? STEPS.at(-1);
    const label = length > 36 * HOUR ? day : clock;
    const times = [];
    for (let ms = chart.start_ms; ms <= chart.end_ms - step / 2; ms += step) times.push([ms, label(ms)]);
    return times;
  }
}

function money(usd, step) {
  const size = Math.abs(usd);
  if (size >= 100_000) return `${usd < 0 ? "−" : ""}$${Math.round(size / 1000)}k`;
  if (step >= 1 && Number.isInteger(step)) return `${usd < 0 ? "−" : ""}$${Math.round(size).toLocaleString("en-GB")}`;
  return `${usd < 0 ? "−" : ""}$${size.toFixed(step >= 1 ? 1 : Math.min(6, Math.ceil(-Math.log10(step)) + 1))}`;
}
