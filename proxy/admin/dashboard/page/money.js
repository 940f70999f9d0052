// Budgets, their burn-down, and alerts: by the events' section `money`, and one chart at a time asked for by itself.

import { Burndown } from "./burndown.js";
import { count, dollars, moment, plain, share } from "./format.js";
import { call } from "./session.js";
import { Table, badge, button, meter, number, say, text } from "./tables.js";

const CHART_MS = 60_000;
const byId = (id) => document.getElementById(id);
const keyOf = (row) => JSON.stringify([row.budget, row.scope, row.period]);

export const tightness = (used) => (used === null ? "" : used >= 0.95 ? "bad" : used >= 0.8 ? "warn" : "");

export class Money {
  #budgets;
  #alerts;
  #burndown = new Burndown(byId("burndown"));
  #rows = [];
  #chosen = null;
  #drawn = 0;
  #shown = "";
  #asking = 0;

  /** `grant(row, opener)` opens the dialog. */
  constructor(grant) {
    this.#budgets = new Table(
      byId("budgets"),
      keyOf,
      [
        button((row) => [row.budget, `Show how ${row.budget} of ${row.scope}, ${row.period}, burns down`], (row) => this.#choose(row), {
          kind: "words",
          pressed: (row) => keyOf(row) === this.#chosen,
        }),
        text((row) => row.scope, { kind: "words", under: (row) => [row.period, row.on_exceed === "block" ? "" : row.on_exceed].filter(Boolean).join(", ") }),
        meter((row) => [row.used, share(row.used), tightness(row.used)]),
        number((row) => dollars(row.left_usd)),
        number((row) => dollars(row.amount_usd), { under: (row) => (Number(row.granted_usd) ? `${dollars(row.granted_usd)} granted` : "") }),
        text((row) => (row.resets_at ? moment(Date.parse(row.resets_at)) : "–"), { kind: "short" }),
        button((row) => ["Grant…", `Grant to ${row.scope}, ${row.budget}`], (row, opener) => grant(row, opener)),
      ],
      "The policy has no budget.",
    );
    this.#alerts = new Table(
      byId("alerts"),
      (row) => `${row.at_ms} ${row.message}`,
      [
        text((row) => moment(row.at_ms), { kind: "short" }),
        badge((row) => [row.level || "–", row.level === "critical" ? "bad" : "warn"]),
        text((row) => row.message, { kind: "words" }),
        text((row) => (row.waiting ? `${row.delivered} of ${row.posts}, ${row.waiting} wait` : `${row.delivered} of ${row.posts}`), { kind: "short" }),
      ],
      "No alert has fired.",
    );
    this.show(null);
  }

  /** Null: the policy has no ledger. */
  show(content) {
    const note = byId("money-note");
    const why = content === null ? "The policy has no ledger: none of its routes calls a provider." : content.error || content.only_ledger || "";
    say(note, content?.only_ledger ? `What is held is not in it: ${why}` : why);
    note.hidden = !why;
    if (content?.error) return; // what was shown stays
    this.#rows = content?.budgets ?? [];
    this.#alerts.show(content?.alerts ?? []);
    say(byId("budgets-more"), content?.more ? `the ${this.#rows.length} most used of ${count(this.#rows.length + content.more)}` : "");
    if (!this.#rows.some((row) => keyOf(row) === this.#chosen)) this.#chosen = this.#rows.length ? keyOf(this.#first()) : null;
    this.#list();
    if (Date.now() - this.#drawn >= CHART_MS || this.#shown !== this.#chosen) this.#draw();
  }

  /** The longest of everybody's, else the one that is used up most. */
  #first() {
    const everybody = this.#rows.filter((row) => row.scope === "global" && row.amount_usd !== null);
    return everybody.find((row) => row.length === "month") ?? everybody[0] ?? this.#rows[0];
  }

  #list() {
    this.#budgets.show(this.#rows, (row) => keyOf(row) === this.#chosen);
  }

  #choose(row) {
    this.#chosen = keyOf(row);
    this.#list();
    this.#draw();
  }

  async #draw() {
    const chosen = this.#chosen;
    if (chosen === null) {
      this.#shown = chosen;
      this.#burndown.show("", null, "Nothing to draw.");
      return;
    }
    const [budget, scope, period] = JSON.parse(chosen);
    const title = plain(scope === budget ? `${budget}, ${period}` : `${budget} of ${scope}, ${period}`);
    const number = ++this.#asking;
    this.#drawn = Date.now();
    this.#shown = chosen;
    try {
      const said = await call("GET", `burndown?${new URLSearchParams({ budget, scope, period })}`);
      if (number !== this.#asking) return; // another was chosen meanwhile
      this.#burndown.show(title, said.chart, "What this budget has depends on whose it is.");
    } catch (error) {
      if (number !== this.#asking) return;
      this.#drawn = 0;
      this.#burndown.show(title, null, error.message);
    }
  }
}
