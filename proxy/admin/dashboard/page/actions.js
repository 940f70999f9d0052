// What changes anything: a form, a sentence that says what will be done, and only then the deed. Its result is told
// where a screen reader hears it.

import { plain } from "./format.js";
import { Refused, call, canBeToken, hasToken, setToken } from "./session.js";
import { element, say } from "./tables.js";

const byId = (id) => document.getElementById(id);
const within = (tenant) => (tenant ? `, of tenant ${tenant} alone` : "");
const missing = (fields, ...names) => names.find((one) => !fields[one].value.trim());

// Each action: `fault(fields)` what is missing; `will(fields)` what it will do; `request(fields)` for the admin API;
// `did(answer)` what it did; `verb` on the last button.
const ACTIONS = {
  purge: {
    verb: "Purge",
    fault: (fields) => (fields.what.value !== "all" && missing(fields, fields.what.value) ? "Say what is to be purged." : ""),
    will(fields) {
      const { what } = fields;
      const value = fields[what.value]?.value.trim();
      const named = {
        prefix: `${value} and all below it${within(fields.within.value.trim())}`,
        url: `the URL ${value}${within(fields.within.value.trim())}`,
        tags: `what has the tags ${value}${within(fields.within.value.trim())}`,
        tenant: `everything that is stored for tenant ${value}`,
        all: "everything",
      }[what.value];
      return `Takes out of the cache: ${named}.\nWithin a second no worker of any gateway on this Redis answers with it again; the app is asked instead. It cannot be undone.`;
    },
    request(fields) {
      const what = fields.what.value;
      const tenant = fields.within.value.trim();
      const value = { all: true, tags: fields.tags.value.split(",").map((tag) => tag.trim()).filter(Boolean) }[what] ?? fields[what].value.trim();
      const inside = tenant && ["prefix", "url", "tags"].includes(what) ? { within: tenant } : {};
      return ["POST", "../cache/purge", { [what]: value, ...inside }];
    },
    did: (said) => `Purged: what was stored before ${said.before} is not reused.${said.routes_concerned ? "" : " No route of this policy stores such a thing."}`,
  },
  grant: {
    verb: "Grant",
    fault: (fields) => (missing(fields, "scope", "amount", "until", "reason") ? "All but the budget has to be filled in." : ""),
    will(fields) {
      const budget = fields.budget.value.trim();
      const amount = fields.amount.value.trim();
      const which = budget ? `the budget ${budget}` : "every budget that is counted by this";
      const back = /^\$?-/.test(amount);
      return `${back ? "Takes" : "Adds"} ${amount.replace("-", "")} ${back ? "from" : "on top of"} ${which}, for ${fields.scope.value.trim()}, until ${fields.until.value.trim()}.\nIn force within a second. It stays on the record with its reason: ${fields.reason.value.trim()}`;
    },
    request(fields) {
      const body = {};
      for (const field of ["scope", "amount", "until", "reason", "budget"]) {
        const value = fields[field].value.trim();
        if (value) body[field] = value;
      }
      return ["POST", "../grants", { ...body, by: "dashboard" }];
    },
    did: (said) => `Granted: ${said.map((one) => `$${one.amount_usd} to ${one.scope} in ${one.budget}, until ${one.until}, number ${one.id}`).join("; ")}.`,
  },
  ending: {
    verb: "End",
    fault: (fields) => (missing(fields, "number", "reason") ? "Both have to be filled in." : ""),
    will: (fields) =>
      `Ends the grant number ${fields.number.value.trim()} before its time.\nIn force within a second. It stays on the record, with the reason of its end: ${fields.reason.value.trim()}`,
    request: (fields) => ["POST", `../grants/${encodeURIComponent(fields.number.value.trim())}/end`, { reason: fields.reason.value.trim(), by: "dashboard" }],
    did: (said) => `Ended: ${said.map((one) => `number ${one.id}, $${one.amount_usd} to ${one.scope} in ${one.budget}`).join("; ")}.`,
  },
  maintenance: {
    verb: "Switch",
    fault: (fields) => (fields.switch.value === "on" && missing(fields, "retry") ? "Say when clients may try again, such as 10m." : ""),
    will: (fields) =>
      fields.switch.value === "on"
        ? `Switches maintenance on, in this gateway alone: all clients but those in maintenance.allow_ips get 503, and are told to try again after ${fields.retry.value.trim()}.\nUntil it is switched off or the gateway is restarted.`
        : "Switches maintenance off, in this gateway alone. What the policy file says of maintenance holds again.",
    request: (fields) =>
      fields.switch.value === "on" ? ["PUT", `../maintenance?${new URLSearchParams({ retry_after: fields.retry.value.trim() })}`] : ["DELETE", "../maintenance"],
    did: (said) => `Maintenance is ${said.maintenance ? "on" : "off"}.`,
  },
  reload: {
    verb: "Reload",
    fault: () => "",
    will: () => "Reads the policy file of this gateway and puts it in force in all workers, whole or not at all. With an error in it the policy stays as it is.",
    request: () => ["POST", "../reload"],
    did: (said) => `The policy in force is ${said.policy}.`,
  },
};

export class Actions {
  #opener = null;
  #waiting = null; // what goes on once there is a token

  /** `onToken` is told when there is another one; `onDone` when anything was changed. */
  constructor(onToken, onDone) {
    this.onToken = onToken;
    this.onDone = onDone;
    for (const [action, spec] of Object.entries(ACTIONS)) this.#wire(action, spec);
    for (const opener of document.querySelectorAll("[data-action]")) {
      opener.addEventListener("click", () => this.open(opener.dataset.action, {}, opener));
    }
    this.#wireToken();
  }

  /** Without a token in the policy nothing can be changed. */
  allow(changes) {
    byId("readonly").hidden = changes;
    byId("token").hidden = !changes;
    for (const opener of document.querySelectorAll("[data-action]")) opener.disabled = !changes;
    this.changes = changes;
  }

  /** Opens an action's dialog; `values` are filled in. Without a token it is asked for first. */
  open(action, values, opener) {
    if (this.changes === false) return;
    const go = () => {
      const dialog = byId(`${action}-dialog`);
      const form = dialog.querySelector("form");
      form.reset();
      for (const [field, value] of Object.entries(values)) form.elements[field].value = value;
      form.dispatchEvent(new Event("begin"));
      this.#opener = opener;
      dialog.showModal();
    };
    if (hasToken()) go();
    else this.askToken(go, opener);
  }

  grant = (row, opener) => this.open("grant", { scope: row.scope, budget: row.budget }, opener);

  #wire(action, spec) {
    const dialog = byId(`${action}-dialog`);
    const form = dialog.querySelector("form");
    const fill = form.querySelector("[data-step=fill]");
    const will = element("p", { class: "will", tabIndex: -1 });
    const confirm = element("div", { hidden: true }, will);
    confirm.dataset.step = "confirm";
    const problem = element("p", { class: "problem" });
    problem.setAttribute("role", "alert");
    const back = element("button", { type: "button", class: "quiet" }, "Cancel");
    const go = element("button", { type: "submit", class: "primary" }, "Continue");
    form.append(confirm, problem, element("div", { class: "foot" }, back, go));

    const step = (confirming) => {
      fill.hidden = confirming;
      confirm.hidden = !confirming;
      say(back, confirming ? "Back" : "Cancel");
      say(go, confirming ? spec.verb : "Continue");
      go.className = confirming && action === "purge" ? "danger" : "primary";
      say(problem, "");
      if (confirming) {
        say(will, spec.will(form.elements).split("\n").map(plain).join("\n"));
        will.focus(); // so that it is read before the button that does it
      } else {
        (fill.querySelector("select, input") ?? go).focus();
      }
    };
    form.addEventListener("begin", () => {
      this.#suit(form);
      step(false);
    });
    form.addEventListener("change", () => this.#suit(form));
    back.addEventListener("click", () => (confirm.hidden ? dialog.close() : step(false)));
    dialog.addEventListener("close", () => this.#opener?.focus());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (confirm.hidden) {
        const fault = spec.fault(form.elements);
        if (fault) say(problem, fault);
        else step(true);
        return;
      }
      go.disabled = true;
      try {
        const said = await call(...spec.request(form.elements));
        dialog.close();
        this.#tell(spec.did(said), "good");
        this.onDone(action);
      } catch (error) {
        say(problem, error instanceof Refused ? error.message : "The gateway cannot be reached; nobody knows whether it was done.");
        if (error.status === 401) {
          dialog.close();
          this.askToken(null, this.#opener, "The gateway did not take this token.");
        }
      } finally {
        go.disabled = false;
      }
    });
  }

  /** Shows the fields that the choices ask for. */
  #suit(form) {
    const chosen = [...form.querySelectorAll("select")].map((one) => one.value);
    for (const field of form.querySelectorAll("[data-for]")) {
      field.hidden = !field.dataset.for.split(" ").some((one) => chosen.includes(one));
    }
  }

  #tell(words, tone) {
    const result = byId("result");
    result.className = `result ${tone}`;
    say(result, plain(words));
  }

  // --- the token ---

  askToken(then = null, opener = byId("token"), problem = "") {
    const dialog = byId("token-dialog");
    if (dialog.open) return;
    this.#waiting = then;
    this.#opener = opener;
    const form = dialog.querySelector("form");
    form.reset();
    say(form.querySelector(".problem"), problem);
    dialog.showModal();
  }

  #wireToken() {
    const dialog = byId("token-dialog");
    const form = dialog.querySelector("form");
    byId("token").addEventListener("click", () => this.askToken());
    form.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    form.querySelector("[data-forget]").addEventListener("click", () => {
      setToken("");
      dialog.close();
      this.#tell("The token is forgotten.", "");
      this.onToken();
    });
    dialog.addEventListener("close", () => {
      form.reset();
      this.#opener?.focus();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = form.elements.token.value.trim();
      if (!canBeToken(token)) {
        say(form.querySelector(".problem"), "Type the token: letters, digits and signs, without spaces.");
        return;
      }
      setToken(token);
      const then = this.#waiting;
      this.#waiting = null;
      dialog.close();
      this.onToken();
      then?.();
    });
  }
}
