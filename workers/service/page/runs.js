// All runs: a table that is live.

import { announce } from "/static/announce.js";
import { get, query } from "/static/api.js";
import { button, element, replace, setText } from "/static/dom.js";
import { count } from "/static/format.js";
import { go, link, note } from "/static/router.js";
import { RunRow, COLUMNS } from "/static/run_row.js";
import { RUN_STATES } from "/static/states.js";
import { follow } from "/static/stream.js";

const PER_PAGE = 50;
const MOST_COMPARED = 8;
const WAIT = 1000; // ms, so that many changes are one request

export async function runsView({ main, route, service, signal, title }) {
  title("Runs");
  const view = new Runs(route.query, signal);
  replace(main, view.head(service), view.filters(), view.table, view.pages);
  await view.load();
  follow({ signal, on: { run: (summary) => view.update(summary), open: () => view.refresh() } });
}

class Runs {
  #rows = new Map(); // by id
  #earlier = []; // cursors of the pages before this one
  #next = null;
  #timer = 0;
  #chosen = new Set();

  constructor(asked, signal) {
    this.signal = signal;
    this.text = asked.get("text") || "";
    this.states = new Set(asked.getAll("state").filter((state) => RUN_STATES.includes(state)));
    this.cursor = null;
    this.total = element("p", { class: "note", role: "status" });
    this.compare = button("Compare", () => go(["compare"], { run: [...this.#chosen] }), {
      disabled: true,
    });
    this.body = element("tbody", { role: "rowgroup" });
    this.empty = element("p", { class: "empty", hidden: true });
    this.table = this.#table();
    this.newer = button("Newer", () => this.#turn(this.#earlier.pop() ?? null));
    this.older = button("Older", () => (this.#earlier.push(this.cursor), this.#turn(this.#next)));
    this.pages = element(
      "nav",
      { class: "pages", "aria-label": "Pages of runs" },
      this.newer,
      this.older,
    );
  }

  head(service) {
    const start =
      !service.read_only &&
      element("a", { class: "button primary", href: link(["start"]) }, "Start a run");
    const where = element("p", { class: "kicker" }, service.root);
    const heading = element("h1", { tabindex: -1 }, "Runs");
    return element(
      "div",
      { class: "view-head" },
      element("div", {}, where, heading),
      element("div", { class: "actions" }, this.compare, start),
    );
  }

  filters() {
    const search = element("input", {
      type: "search",
      value: this.text,
      placeholder: "name, optimizer or task",
      "aria-label": "Filter by text",
      oninput: () => this.#filter({ text: search.value.trim() }),
    });
    const boxes = RUN_STATES.map((state) => {
      const input = element("input", {
        type: "checkbox",
        checked: this.states.has(state),
        onchange: () => this.#toggle(state),
      });
      return element("label", { class: "chip" }, input, state);
    });
    const states = element(
      "fieldset",
      { class: "chips" },
      element("legend", { class: "unseen" }, "Filter by state"),
      boxes,
    );
    return element(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      search,
      states,
      this.total,
    );
  }

  async load() {
    const filter = {
      state: [...this.states],
      text: this.text,
      cursor: this.cursor,
      limit: PER_PAGE,
    };
    const page = await get(`/v1/runs${query(filter)}`, this.signal);
    this.#next = page.next;
    this.#show(page.runs);
    setText(this.total, page.total === 1 ? "1 run" : `${count(page.total)} runs`);
    this.newer.disabled = this.cursor === null;
    this.older.disabled = page.next === null;
    this.pages.hidden = this.cursor === null && page.next === null;
    this.empty.hidden = page.runs.length > 0;
    const any = this.text || this.states.size;
    setText(this.empty, any ? "No run is like that." : "There are no runs yet.");
  }

  // What happened while nothing was heard is asked for.
  refresh() {
    this.#later();
  }

  // A run has changed: its row does too, or the page is asked for anew where it may now be on it.
  update(summary) {
    const row = this.#rows.get(summary.id);
    if (!row) return this.#later();
    if (row.state !== summary.state) announce(`${summary.id} is ${summary.state}`);
    row.show(summary);
    if (this.states.size && !this.states.has(summary.state)) this.#later();
  }

  #show(runs) {
    const rows = runs.map(
      (run) => this.#rows.get(run.id) || new RunRow(run, (row) => this.#choose(row)),
    );
    rows.forEach((row, i) => row.show(runs[i]));
    this.#rows = new Map(rows.map((row) => [row.id, row]));
    const nodes = rows.map((row) => row.node);
    const same =
      nodes.length === this.body.children.length &&
      nodes.every((node, i) => node === this.body.children[i]);
    if (!same) replace(this.body, nodes); // or who is in a row would lose their place
  }

  #table() {
    const head = COLUMNS.map((text) => element("th", { scope: "col", role: "columnheader" }, text));
    const table = element(
      "table",
      { class: "runs", role: "table", onkeydown: (event) => this.#key(event) },
      element("caption", { class: "unseen" }, "Runs, the newest first"),
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, head)),
      this.body,
    );
    return element("div", { class: "scroll" }, table, this.empty);
  }

  // Up and down go from run to run.
  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const rows = [...this.body.children];
    const at = rows.findIndex((row) => row.contains(event.target));
    if (!step || at < 0) return;
    rows[Math.min(Math.max(at + step, 0), rows.length - 1)].querySelector("a").focus();
    event.preventDefault();
  }

  #choose(row) {
    if (row.chosen) this.#chosen.add(row.id);
    else this.#chosen.delete(row.id);
    const size = this.#chosen.size;
    this.compare.disabled = size < 2 || size > MOST_COMPARED;
    setText(this.compare, size < 2 ? "Compare" : `Compare ${size} runs`);
  }

  #toggle(state) {
    if (!this.states.delete(state)) this.states.add(state);
    this.#filter({});
  }

  #filter(values) {
    Object.assign(this, values, { cursor: null });
    this.#earlier = [];
    note({ text: this.text || null, state: [...this.states] });
    this.#later(250);
  }

  #later(wait = WAIT) {
    if (wait < WAIT) clearTimeout(this.#timer);
    else if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      if (!this.signal.aborted) this.load().catch(() => {});
    }, wait);
  }

  async #turn(cursor) {
    this.cursor = cursor;
    await this.load().catch(() => {});
    this.body.querySelector("a")?.focus();
  }
}
