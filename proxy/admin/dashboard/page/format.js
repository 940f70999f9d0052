// Numbers, money and times as people read them. Pure: nothing here touches the page.

const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const NOTHING = "–";

/** What comes from outside, so that it cannot be taken for another: signs that nobody sees are spelled out, as those
 *  are that turn the direction of what follows. */
export const plain = (text) =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu, (sign) => `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`);

const known = (value, say) => (value === null || value === undefined || Number.isNaN(value) ? NOTHING : say(value));

/** A count: 1,234,567. */
export const count = (value) => known(value, (v) => WHOLE.format(v));

/** A count where there is little room: 1.23M. */
export const compact = (value) => known(value, (v) => (Math.abs(v) < 10_000 ? WHOLE.format(v) : COMPACT.format(v)));

/** A rate a second, to what can be told of it: 0.04, 3.2, 512. */
export const rate = (value) =>
  known(value, (v) => {
    if (v >= 10_000) return COMPACT.format(v);
    if (v >= 100) return WHOLE.format(v);
    if (v >= 1) return v.toFixed(1);
    return v === 0 ? "0" : v < 0.01 ? "<0.01" : v.toFixed(2);
  });

/** A share of one as per cent. */
export const share = (value) =>
  known(value, (v) => {
    const percent = v * 100;
    if (percent === 0) return "0%";
    if (percent > 0 && percent < 0.1) return "<0.1%";
    if (percent >= 100) return `${Math.floor(percent)}%`;
    return `${Math.min(percent, 99.9).toFixed(1)}%`; // nothing is whole that is not
  });

/** Milliseconds, as seconds where they are many. */
export const millis = (value) =>
  known(value, (v) => {
    if (v >= 10_000) return `${(v / 1000).toFixed(0)} s`;
    if (v >= 1000) return `${(v / 1000).toFixed(2)} s`;
    return v >= 100 ? `${v.toFixed(0)} ms` : v >= 10 ? `${v.toFixed(1)} ms` : `${v.toFixed(2)} ms`;
  });

/** Dollars, from a number or exact text: $1,234.50, $0.0042. */
export const dollars = (value) =>
  known(value, (v) => {
    const amount = Number(v);
    const size = Math.abs(amount);
    const digits = size === 0 || size >= 1 ? 2 : size >= 0.01 ? 4 : 9;
    let text = size.toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: digits });
    if (size >= 100_000) text = size.toLocaleString("en-GB", { maximumFractionDigits: 0 });
    return `${amount < 0 ? "−" : ""}$${text}`;
  });

/** Bytes: 12.3 MiB. */
export const bytes = (value) =>
  known(value, (v) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (v >= 1024 && unit < units.length - 1) {
      v /= 1024;
      unit += 1;
    }
    return `${unit && v < 100 ? v.toFixed(1) : Math.round(v)} ${units[unit]}`;
  });

/** A span of seconds: 42 s, 5 min, 3 h, 12 days. */
export const span = (value) =>
  known(value, (v) => {
    if (v < 90) return `${Math.round(v)} s`;
    if (v < 5400) return `${Math.round(v / 60)} min`;
    return v < 129_600 ? `${Math.round(v / 3600)} h` : `${Math.round(v / 86_400)} days`;
  });

export const clock = (ms) => CLOCK.format(ms);
export const seconds = (ms) => SECONDS.format(ms);
export const day = (ms) => DAY.format(ms);

/** An instant, with its day unless that is today. */
export function moment(ms, now = Date.now()) {
  return day(ms) === day(now) ? seconds(ms) : `${day(ms)} ${clock(ms)}`;
}

/** Ends of a scale: 0 and a round number at or above `most`, with so many steps between. */
export function scale(most, steps = 4) {
  if (!(most > 0)) return { top: 1, step: 1 / steps };
  const rough = most / steps;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.9999);
  return { top: Math.ceil(most / step - 1e-9) * step, step };
}
