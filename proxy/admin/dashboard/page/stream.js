// Server-sent events read by fetch and not by EventSource, which could send the token in a URL alone.

import { Refused, hasToken, headers, refusal } from "./session.js";

const SILENCE_MS = 10_000; // the gateway ticks every two seconds
const HIDDEN_MS = 60_000; // a tab that nobody sees stops asking
const LOCKED = Symbol("the token is missing or wrong");
const WAITS_S = [1, 2, 4, 8, 10];

/** Reads text as it comes and yields whole events: {name, data, id}. */
export class Parser {
  #rest = "";

  *feed(text) {
    const parts = (this.#rest + text).split("\n\n");
    this.#rest = parts.pop();
    for (const part of parts) {
      const event = { name: "message", data: "", id: "" };
      for (const line of part.split("\n")) {
        const at = line.indexOf(":");
        if (at <= 0) continue; // a comment
        const value = line.slice(at + 1).replace(/^ /, "");
        if (line.startsWith("event:")) event.name = value;
        else if (line.startsWith("data:")) event.data += value;
        else if (line.startsWith("id:")) event.id = value;
      }
      yield event;
    }
  }
}

/** Calls `onEvent(name, content)`, and `onState(state, detail)` with live, lost, locked or paused. Of lost `detail` has
 *  `wait`, in seconds, and `said`, if the gateway has answered. */
export class Stream {
  #path;
  #accessPath;
  #onEvent;
  #onState;
  #lastId = "";
  #failures = 0;
  #abort = null;
  #timer = 0;
  #hidden = 0;
  #state = "";

  /** `accessPath` says whether a token is wanted. */
  constructor(path, accessPath, onEvent, onState) {
    this.#path = path;
    this.#accessPath = accessPath;
    this.#onEvent = onEvent;
    this.#onState = onState;
    document.addEventListener("visibilitychange", () => this.#seen());
  }

  /** Begins, or begins anew: with another token, or at once instead of later. */
  start() {
    this.stop();
    this.#state = ""; // a token that is wrong again is said to be wrong again
    this.#run(new AbortController());
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  /** Each state once, but for how long it will be. */
  #say(state, detail) {
    if (state === this.#state && detail === undefined) return;
    this.#state = state;
    this.#onState(state, detail);
  }

  #seen() {
    clearTimeout(this.#hidden);
    if (document.hidden) {
      this.#hidden = setTimeout(() => {
        if (this.#abort === null) return;
        this.stop();
        this.#say("paused");
      }, HIDDEN_MS);
    } else if (this.#state === "paused") {
      this.start();
    }
  }

  async #run(abort) {
    this.#abort = abort;
    let refused = null;
    try {
      await this.#listen(abort);
    } catch (error) {
      if (this.#abort !== abort) return; // stopped, or begun anew
      if (error === LOCKED) {
        this.#abort = null;
        this.#say("locked");
        return;
      }
      if (error instanceof Refused) refused = error;
    }
    if (this.#abort !== abort) return;
    const wait = refused?.wait || WAITS_S[Math.min(this.#failures, WAITS_S.length - 1)];
    this.#failures += 1;
    this.#say("lost", { wait, said: refused?.message });
    this.#timer = setTimeout(() => this.start(), wait * 1000 * (0.75 + Math.random() / 2));
  }

  async #listen(abort) {
    const fields = { ...headers(), Accept: "text/event-stream" };
    if (this.#lastId) fields["Last-Event-ID"] = this.#lastId;
    let silence = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      if (!hasToken()) {
        // Asked first, so that a browser's console is not full of refusals.
        const access = await fetch(this.#accessPath, { cache: "no-store", credentials: "omit", signal: abort.signal });
        if ((await access.json()).token) throw LOCKED;
      }
      const answer = await fetch(this.#path, {
        headers: fields,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: abort.signal,
      });
      if (answer.status === 401) throw LOCKED;
      if (!answer.ok) throw await refusal(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new Parser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(() => abort.abort(), SILENCE_MS);
        for (const event of parser.feed(value)) {
          if (event.id) this.#lastId = event.id;
          this.#failures = 0;
          this.#say("live");
          this.#onEvent(event.name, JSON.parse(event.data));
        }
      }
    } finally {
      clearTimeout(silence);
    }
  }
}
