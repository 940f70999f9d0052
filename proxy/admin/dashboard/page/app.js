// Brings the page's parts together: one stream of events, whose sections each know where they belong.

import { Actions } from "./actions.js";
import { Money } from "./money.js";
import { Figures, Gateway, tables } from "./panels.js";
import { hasToken } from "./session.js";
import { Stream } from "./stream.js";
import { say } from "./tables.js";
import { Tenants } from "./tenants.js";

const byId = (id) => document.getElementById(id);

const figures = new Figures();
const gateway = new Gateway();
const boards = tables();
const actions = new Actions(
  () => stream.start(),
  () => {},
);
const money = new Money(actions.grant);
const tenants = new Tenants(actions.grant);

const SECTIONS = {
  points: (content) => figures.add(content),
  state(content) {
    gateway.show(content);
    figures.state(content);
    actions.allow(content.changes);
    tenants.use(content.ledger.is !== "none");
  },
  money: (content) => money.show(content),
  bye() {}, // the stream ends, and is tried again
};

function onEvent(name, content) {
  (SECTIONS[name] ?? ((board) => boards.show(name, board)))(content);
}

const WORDS = {
  live: () => "Live",
  lost: ({ wait, said }) => `${said ?? "Connection lost"}, trying again in ${wait} s`,
  locked: () => "Token needed",
  paused: () => "Paused",
};

function onState(state, detail) {
  byId("connection").dataset.state = state;
  say(byId("connection-text"), WORDS[state](detail));
  if (state === "locked") actions.askToken(null, byId("token"), hasToken() ? "The gateway did not take this token." : "");
}

const stream = new Stream("events", "access", onEvent, onState);
stream.start();
