// What comes with the gateway's events, but for money: tiles, charts, tables, the gateway's state.

import { LineChart, Spark } from "./charts.js";
import { NOTHING, bytes, compact, count, dollars, millis, moment, rate, share, span } from "./format.js";
import { Table, badge, element, meter, name, number, say, text } from "./tables.js";

const byId = (id) => document.getElementById(id);

const TONES = {
  serving: "good", maintenance: "warn", starting: "warn", draining: "warn",
  fine: "good", behind: "warn", away: "bad", unknown: "", none: "",
  healthy: "good", failing: "bad", down: "bad", quiet: "",
  refused: "warn", failed: "bad",
}; // prettier-ignore
const tone = (word) => [word, TONES[word] ?? ""];

// --- tiles --------------------------------------------------------------------------------------------------------

class Tile {
  #value = element("span", { class: "value" }, NOTHING);
  #more = element("span", { class: "more-said" });
  #spark = null;

  constructor(host, label, key) {
    const said = element("dd", {}, this.#value);
    const tile = element("div", { class: "tile" }, element("dt", {}, label), said, element("dd", {}, this.#more));
    if (key) {
      this.key = key;
      this.#spark = new Spark();
      said.append(this.#spark.svg);
    }
    host.append(tile);
  }

  show(value, more, tone = "") {
    say(this.#value, value);
    name(this.#value, `value ${tone}`.trim());
    say(this.#more, more);
  }

  draw(points) {
    this.#spark?.show(points, this.key);
  }
}

const answered = (at_s) => (at_s ? `answered the gateway at ${moment(at_s * 1000)}` : "has not answered yet");

/** Whether Redis can be reached, and since when that is known. */
function reach({ is, breakers_open: open, answered_s }) {
  if (open) return `${open} workers cannot reach it`;
  if (is === "unknown") return "nobody has asked it yet";
  return is === "away" && answered_s ? `no answer since ${moment(answered_s * 1000)}` : answered(answered_s);
}

/** The last ten seconds, so that numbers are read and not watched. */
const CALM_MS = 10_000;

function lately(points) {
  const recent = points.filter((one) => one.at_ms > points.at(-1).at_ms - CALM_MS);
  const mean = (key) => {
    const known = recent.map((one) => one[key]).filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };
  return mean;
}

export class Figures {
  #tiles;
  #charts;
  #points = [];

  constructor() {
    const host = byId("tiles");
    this.#tiles = {
      requests: new Tile(host, "Requests a second", "all"),
      refused: new Tile(host, "Refused a second", "refused"),
      failed: new Tile(host, "Failed", "failed"),
      latency: new Tile(host, "Latency, p95", "p95_ms"),
      hits: new Tile(host, "Cache hits", "hit_ratio"),
      spend: new Tile(host, "Spending an hour", "spend_usd_h"),
      redis: new Tile(host, "Redis"),
      ledger: new Tile(host, "Ledger"),
    };
    this.#charts = [
      new LineChart(byId("requests-chart"), {
        title: "Requests a second",
        series: [{ key: "served", label: "served" }, { key: "refused", label: "refused" }, { key: "failed", label: "failed" }],
        format: rate,
        tick: (value) => rate(value).replace(/\.0+$/, ""),
      }),
      new LineChart(byId("latency-chart"), {
        title: "Latency",
        series: [{ key: "p50_ms", label: "p50" }, { key: "p95_ms", label: "p95" }, { key: "p99_ms", label: "p99" }],
        format: millis,
        tick: (value) => (value >= 1000 ? `${+(value / 1000).toFixed(1)} s` : `${+value.toFixed(2)} ms`),
      }),
    ];
  }

  /** An event's points: all that are kept, or those that came since. */
  add({ fields, whole, points }) {
    const made = points.map((row) => Object.fromEntries(fields.map((field, index) => [field, row[index]])));
    for (const one of made) one.all = one.served + one.refused + one.failed;
    const kept = (whole ? [] : this.#points).concat(made);
    const newest = kept.at(-1)?.at_ms ?? 0;
    this.#points = kept.filter((one) => one.at_ms >= newest - 900_000);
    if (!made.length || !this.#points.length) return;
    for (const chart of this.#charts) chart.show(this.#points);
    for (const tile of Object.values(this.#tiles)) tile.draw(this.#points);
    const mean = lately(this.#points);
    const [all, failed, refused] = ["all", "failed", "refused"].map(mean);
    const tiles = this.#tiles;
    tiles.requests.show(rate(all), `${count(this.#points.at(-1).in_flight)} under way`);
    tiles.refused.show(rate(refused), all ? `${share(refused / all)} of requests` : "");
    tiles.failed.show(all ? share(failed / all) : NOTHING, `${rate(failed)} a second`, all && failed / all >= 0.01 ? "bad" : "");
    tiles.latency.show(millis(mean("p95_ms")), `p99 ${millis(mean("p99_ms"))}`);
    tiles.hits.show(share(mean("hit_ratio")), "of what may be cached");
    tiles.spend.show(dollars(mean("spend_usd_h")), "calls to providers");
  }

  state({ redis, ledger }) {
    const without = redis.decided_without ? `, ${compact(redis.decided_without)} decided without` : "";
    const asked = redis.p95_ms === null ? "no request asked it" : `p95 ${millis(redis.p95_ms)}`;
    this.#tiles.redis.show(redis.is, redis.is === "fine" ? `${asked}${without}` : reach(redis), TONES[redis.is]);
    const waits = ledger.is === "none" ? "no route calls a provider" : `${compact(ledger.waiting)} records wait, ${span(ledger.lag_s)}`;
    this.#tiles.ledger.show(ledger.is, ledger.budgets_closed ? "budgets are closed" : waits, TONES[ledger.is]);
  }
}

// --- tables -------------------------------------------------------------------------------------------------------

export function tables() {
  const made = {
    refusals: new Table(
      byId("refusals"),
      (row) => `${row.fault} ${row.reason}`,
      [
        text((row) => row.title, { under: (row) => row.reason }),
        badge((row) => tone(row.kind)),
        number((row) => count(row.count)),
        number((row) => rate(row.per_s)),
      ],
      "Nothing was refused, and nothing failed.",
    ),
    limits: new Table(
      byId("limits"),
      (row) => row.limit,
      [
        text((row) => row.limit),
        number((row) => (row.admitted === null ? NOTHING : count(row.admitted))),
        number((row) => count(row.refused)),
        number((row) => count(row.shadow)),
      ],
      "No limit had anything to decide.",
    ),
    routes: new Table(
      byId("routes"),
      (row) => row.route,
      [
        text((row) => row.route),
        number((row) => rate(row.per_s), { title: (row) => `${count(row.count)} requests` }),
        number((row) => share(row.refused)),
        number((row) => share(row.failed)),
        number((row) => millis(row.p50_ms)),
        number((row) => millis(row.p95_ms)),
        meter((row) => [row.caches ? row.hit_ratio : null, row.caches ? share(row.hit_ratio) : "", ""]),
      ],
      "The policy has no route.",
    ),
    upstreams: new Table(
      byId("upstreams"),
      (row) => row.upstream,
      [
        text((row) => row.upstream, { under: (row) => row.addresses.join(", ") }),
        badge((row) => tone(row.health)),
        number((row) => rate(row.per_s)),
        number((row) => share(row.failed), { title: (row) => `${count(row.failures)} requests` }),
        number((row) => count(row.retries)),
        number((row) => millis(row.p50_ms)),
        number((row) => millis(row.p95_ms)),
      ],
      "The policy has no upstream.",
    ),
    listed: new Table(
      byId("listed"),
      (row) => row.tenant,
      [
        text((row) => row.tenant),
        number((row) => rate(row.per_s)),
        number((row) => count(row.count)),
        number((row) => count(row.refused)),
        number((row) => count(row.ever)),
      ],
      "Nobody asked yet.",
    ),
    failures: new Table(
      byId("failures"),
      (row) => row.request_id,
      [
        text((row) => moment(row.at_ms), { kind: "short" }),
        number((row) => String(row.status)),
        text((row) => row.reason || "the app’s answer", { kind: "short" }),
        text((row) => `${row.method} ${row.path}`, { kind: "words", under: (row) => [row.route, row.upstream].filter(Boolean).join(", ") }),
        text((row) => row.tenant ?? NOTHING, { kind: "words" }),
        number((row) => millis(row.ms)),
        text((row) => row.request_id, { kind: "short id" }),
      ],
      "Nothing has failed of late.",
    ),
  };
  return {
    show(section, content) {
      const rows = Array.isArray(content) ? content : content.rows;
      made[section]?.show(rows);
      if (section === "routes") {
        const more = byId("routes-more");
        more.hidden = !content.more;
        say(more, `${content.more} more routes had less to do.`);
      }
      if (section === "listed") byId("listed-panel").hidden = !rows.length;
    },
  };
}

// --- the gateway itself -------------------------------------------------------------------------------------------

function facts(state) {
  const { workers, redis, ledger, cache } = state;
  const memory = redis.memory.map(({ store, used, most }) => [`Redis memory, ${store}`, most ? `${bytes(used)} of ${bytes(most)}` : `${bytes(used)}, without a bound`]);
  return [
    ["Version", state.version],
    ["Policy", state.policy],
    ["Workers", `${workers.ready} of ${workers.all} ready, ${workers.restarts} started again`],
    ["Clients’ connections", count(state.connections)],
    ["Redis", reach(redis)],
    ...(redis.caches_answered_s === null ? [] : [["Redis of the cache", answered(redis.caches_answered_s)]]),
    ...memory,
    ["Cache, in workers’ memory", `${bytes(cache.bytes)} of ${bytes(cache.most_bytes)}, ${count(cache.entries)} URLs`],
    ["Workers that hear of purges", `${cache.hear_of_purges} of ${workers.ready}`],
    ...(ledger.is === "none"
      ? [["Ledger", "none"]]
      : [
          ["Ledger", `${count(ledger.waiting)} records wait, the oldest for ${span(ledger.lag_s)}`],
          ["Records that the database refused", count(ledger.dead)],
          ["Alerts that wait", ledger.alert_waits_s ? `for ${span(ledger.alert_waits_s)}` : "none"],
        ]),
    ["Answers that named another tenant", count(state.isolation)],
    ["First certificate to end", state.certificate_ends_s === null ? NOTHING : `in ${span(state.certificate_ends_s - Date.now() / 1000)}`],
  ];
}

/** What somebody should know at once; nothing where all is well. */
function alarms(state) {
  const said = [];
  if (state.phase === "draining") said.push("This gateway is draining: it finishes what is under way and ends.");
  if (state.phase === "maintenance") said.push("Maintenance is on: clients get 503.");
  if (state.reload_problems.length) said.push(`The policy file was rejected, the old policy stays: ${state.reload_problems.join("; ")}`);
  if (state.incidents.length) said.push(`An alert of the service is not over: ${state.incidents.join(", ").replaceAll("_", " ")}.`);
  if (state.redis.is === "away") said.push("Redis is away: routes are open or closed as the policy says.");
  if (state.ledger.budgets_closed) said.push("Budgets are closed: calls to providers wait until they are rebuilt.");
  if (state.isolation) said.push("An answer named another tenant than the one it was for, and was refused: see the log.");
  return said.join("\n");
}

export class Gateway {
  #rows = new Map();

  show(state) {
    const phase = byId("phase");
    say(phase, state.phase);
    name(phase, `badge ${TONES[state.phase]}`);
    say(byId("policy"), state.policy);
    say(byId("workers"), `${state.workers.ready} of ${state.workers.all} workers`);
    for (const node of document.querySelectorAll(".window")) say(node, `last ${span(Math.max(1, state.window_s))}`);
    const banner = byId("trouble-now");
    const alarm = alarms(state);
    say(banner, alarm);
    banner.hidden = !alarm;
    const list = byId("state");
    const left = new Set(this.#rows.keys());
    for (const [label, value] of facts(state)) {
      left.delete(label);
      if (!this.#rows.has(label)) {
        const said = element("dd");
        this.#rows.set(label, said);
        list.append(element("div", {}, element("dt", {}, label), said));
      }
      say(this.#rows.get(label), value);
    }
    for (const label of left) {
      this.#rows.get(label).parentElement.remove();
      this.#rows.delete(label);
    }
    document.title = `${state.phase === "serving" && !alarm ? "" : "! "}Sluicegate`;
  }
}

