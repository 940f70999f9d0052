// Tenants by use: found, sorted and cut by the ledger; a page of twenty-five is all that is ever here.

import { compact, count, dollars, moment, share } from "./format.js";
import { tightness } from "./money.js";
import { call } from "./session.js";
import { Table, button, meter, number, say, text } from "./tables.js";

const TYPING_MS = 300;
const AGAIN_MS = 30_000;
const byId = (id) => document.getElementById(id);

export class Tenants {
  #form = byId("tenants-form");
  #table;
  #sort = "cost";
  #order = "desc";
  #page = 1;
  #pages = 1;
  #asked = 0;
  #typing = 0;
  #again = 0;

  /** `grant(row, opener)` opens the dialog. */
  constructor(grant) {
    this.#table = new Table(
      byId("tenants-table"),
      (row) => JSON.stringify(row.tenant),
      [
        text((row) => row.tenant ?? "(no tenant)"),
        number((row) => count(row.calls)),
        number((row) => compact(row.input_tokens), { title: (row) => count(row.input_tokens) }),
        number((row) => compact(row.output_tokens), { title: (row) => count(row.output_tokens) }),
        number((row) => dollars(row.cost_usd), { title: (row) => `$${row.cost_usd}` }),
        text((row) => moment(row.last_ms), { kind: "short" }),
        meter(({ budget }) => (budget === null || budget.used === null ? [null, "", ""] : [budget.used, share(budget.used), tightness(budget.used)])),
        number(({ budget }) => (budget === null ? "" : dollars(budget.left_usd)), {
          title: ({ budget }) => (budget === null ? "" : `${budget.budget}, ${budget.period}: ${dollars(budget.left_usd)} of ${dollars(budget.amount_usd)}`),
        }),
        button(({ tenant, budget }) => (budget === null ? null : ["Grant…", `Grant to tenant ${tenant}`]), (row, opener) => grant(row.budget, opener)),
      ],
      "No tenant has called a provider in this time.",
    );
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go(1);
    });
    this.#form.elements.filter.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#go(1), TYPING_MS);
    });
    this.#form.elements.since.addEventListener("change", () => this.#go(1));
    byId("tenants-before").addEventListener("click", () => this.#go(this.#page - 1));
    byId("tenants-after").addEventListener("click", () => this.#go(this.#page + 1));
    for (const head of byId("tenants-table").querySelectorAll("th[data-sort]")) {
      head.firstElementChild.addEventListener("click", () => this.#sortBy(head.dataset.sort));
    }
  }

  /** Begins, where there is a ledger; asks again every half a minute, as long as the events come. */
  use(there) {
    byId("tenants-panel").hidden = !there;
    const none = byId("tenants-none");
    none.hidden = there;
    say(none, there ? "" : "The policy has no ledger. Tenants that metrics.tenants lists are counted by their requests.");
    if (there && !this.#asked) this.#go(this.#page);
  }

  #sortBy(column) {
    if (this.#sort === column) this.#order = this.#order === "desc" ? "asc" : "desc";
    else this.#order = column === "tenant" ? "asc" : "desc";
    this.#sort = column;
    this.#go(1);
  }

  async #go(page) {
    clearTimeout(this.#again);
    clearTimeout(this.#typing);
    const number = ++this.#asked;
    const { filter, since } = this.#form.elements;
    const query = new URLSearchParams({ sort: this.#sort, order: this.#order, page, since: since.value, filter: filter.value });
    try {
      const said = await call("GET", `tenants?${query}`);
      if (number === this.#asked) this.#show(said);
    } catch (error) {
      if (number === this.#asked) say(byId("tenants-count"), error.message);
    }
    if (number === this.#asked) this.#again = setTimeout(() => (document.hidden ? (this.#asked = 0) : this.#go(this.#page)), AGAIN_MS);
  }

  #show({ rows, page, pages, count: all, cost_usd: cost, sort, order }) {
    [this.#page, this.#pages] = [page, pages];
    this.#table.show(rows);
    say(byId("tenants-count"), `${count(all)} ${all === 1 ? "tenant" : "tenants"}, ${dollars(cost)}`);
    say(byId("tenants-page"), `page ${count(page)} of ${count(pages)}`);
    byId("tenants-before").disabled = page <= 1;
    byId("tenants-after").disabled = page >= pages;
    for (const head of byId("tenants-table").querySelectorAll("th[data-sort]")) {
      if (head.dataset.sort === sort) head.setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }
}
