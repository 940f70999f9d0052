// Tables that change in place: rows by their key, cells by what they say, so that only what is new is drawn anew and
// whoever reads or has the focus in a cell keeps it. Whatever comes from outside gets in as text, never as markup.

import { plain } from "./format.js";

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Sets the text, if it is another. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function name(node, className) {
  if (node.className !== className) node.className = className;
}

// --- cells: each makes a node once and gives what updates it ----------------------------------------------------

/** Text; `under` is a second, quieter line. */
export const text = (of, { under, kind = "", title } = {}) => ({
  kind,
  make(cell) {
    const line = element("span");
    cell.append(line);
    const below = under ? element("span", { class: "under" }) : null;
    if (below) cell.append(below);
    return (row) => {
      say(line, plain(of(row)));
      if (below) say(below, plain(under(row)));
      if (title) {
        const told = plain(title(row) ?? "");
        if (cell.title !== told) cell.title = told;
      }
    };
  },
});

/** A number, to the right. */
export const number = (of, options = {}) => text(of, { ...options, kind: "number" });

/** A word with a colour: `of` gives [text, class]. */
export const badge = (of) => ({
  kind: "short",
  make(cell) {
    const mark = element("span", { class: "badge" });
    cell.append(mark);
    return (row) => {
      const [word, tone] = of(row);
      say(mark, word);
      name(mark, `badge ${tone}`);
    };
  },
});

/** A share as a bar, with its number beside it: `of` gives [share or null, text, class]. */
export const meter = (of) => ({
  kind: "",
  make(cell) {
    const fill = element("span", { class: "fill" });
    const said = element("span", { class: "said" });
    const track = element("span", { class: "track", "aria-hidden": "true" }, fill);
    cell.append(element("span", { class: "meter" }, track, said));
    return (row) => {
      const [share, word, tone] = of(row);
      track.style.visibility = share === null ? "hidden" : "visible";
      const width = `${Math.max(0, Math.min(1, share ?? 0)) * 100}%`;
      if (fill.style.width !== width) fill.style.width = width;
      name(fill, `fill ${tone}`);
      say(said, word);
    };
  },
});

/** A button: `of` gives [text, accessible name] or null for none; `press` gets the row as it is then. */
export const button = (of, press, { kind = "short", pressed } = {}) => ({
  kind,
  make(cell) {
    let current = null;
    const made = element("button", { type: "button" });
    made.addEventListener("click", () => press(current, made));
    cell.append(made);
    return (row) => {
      current = row;
      const told = of(row);
      made.hidden = told === null;
      if (told === null) return;
      say(made, plain(told[0]));
      const label = plain(told[1]);
      if (made.getAttribute("aria-label") !== label) made.setAttribute("aria-label", label);
      if (pressed) {
        const state = String(pressed(row));
        if (made.getAttribute("aria-pressed") !== state) made.setAttribute("aria-pressed", state);
      }
    };
  },
});

// --- the table ----------------------------------------------------------------------------------------------------

export class Table {
  #body;
  #columns;
  #keyOf;
  #rows = new Map();
  #empty;

  /** The first column is the row's heading. `nothing`: what an empty table says. */
  constructor(table, keyOf, columns, nothing) {
    this.#body = table.tBodies[0];
    this.#keyOf = keyOf;
    this.#columns = columns;
    const cell = element("td", { class: "empty", colSpan: columns.length });
    this.#empty = element("tr", {}, cell);
    this.nothing(nothing);
  }

  nothing(words) {
    say(this.#empty.firstChild, words);
  }

  /** `mark`: which row is the chosen one. */
  show(rows, mark = () => false) {
    const left = new Set(this.#rows.keys());
    let place = this.#body.firstChild;
    for (const row of rows) {
      const key = this.#keyOf(row);
      left.delete(key);
      const kept = this.#rows.get(key) ?? this.#make(key);
      for (const update of kept.updates) update(row);
      name(kept.node, mark(row) ? "chosen" : "");
      if (kept.node === place) place = place.nextSibling;
      else this.#body.insertBefore(kept.node, place);
    }
    for (const key of left) {
      this.#rows.get(key).node.remove();
      this.#rows.delete(key);
    }
    if (rows.length) this.#empty.remove();
    else if (!this.#empty.isConnected) this.#body.append(this.#empty);
  }

  #make(key) {
    const node = element("tr");
    const updates = this.#columns.map((column, index) => {
      const cell = index ? element("td") : element("th", { scope: "row" });
      if (column.kind) cell.className = column.kind;
      node.append(cell);
      return column.make(cell);
    });
    const kept = { node, updates };
    this.#rows.set(key, kept);
    return kept;
  }
}
