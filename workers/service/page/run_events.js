// What happened in a run besides outer steps.

import { get, query, runPath } from "/static/api.js";
import { select } from "/static/chart_settings.js";
import { button, element, replace } from "/static/dom.js";
import { count, dateTime } from "/static/format.js";
import { note } from "/static/router.js";

const KINDS = ["state", "loss", "validation", "explanation", "rewind"];
const MOST = 500; // that are kept on the page

export async function eventsSection({ run, body, signal, query: asked, follow }) {
  const section = new Events(run, signal, asked.get("kind"));
  replace(body, section.counts, section.controls(), section.list, section.more);
  await section.load();
  follow({ on: { event: (event) => event.run === run.id && section.add(event) } });
}

class Events {
  #next = null;

  constructor(run, signal, kind) {
    Object.assign(this, { run, signal, kind: KINDS.includes(kind) ? kind : "" });
    this.counts = element("div", {});
    this.list = element("ol", { class: "events", "aria-label": "Events, the newest first" });
    this.more = button("Older events", () => this.load().catch(() => {}));
    this.known = new Set();
  }

  controls() {
    const kinds = Object.fromEntries([
      ["", "all"],
      ...KINDS.map((kind) => [kind, kind === "loss" ? "lost estimates" : kind]),
    ]);
    const choose = (kind) => {
      this.kind = kind;
      this.#next = null;
      note({ kind: kind || null });
      this.list.replaceChildren();
      this.known.clear();
      this.load().catch(() => {});
    };
    return element("div", { class: "settings" }, select("Kind of event", kinds, this.kind, choose));
  }

  // The next older ones.
  async load() {
    const page = await get(
      `${runPath(this.run.id)}/events${query({ kind: this.kind, cursor: this.#next, limit: 100 })}`,
      this.signal,
    );
    this.#next = page.next;
    this.list.append(...page.events.filter((event) => this.#isNew(event)).map(entry));
    this.more.hidden = page.next === null;
    this.lost = page.counts;
    replace(this.counts, lostTable(this.lost));
    if (!this.list.children.length)
      this.list.append(element("li", { class: "empty" }, "Nothing happened."));
  }

  add(event) {
    if (event.kind === "loss" && !this.known.has(event.id)) {
      this.lost = { ...this.lost, [event.cause]: (this.lost[event.cause] || 0) + 1 };
      replace(this.counts, lostTable(this.lost));
    }
    if ((this.kind && event.kind !== this.kind) || !this.#isNew(event)) return;
    this.list.querySelector(".empty")?.remove();
    this.list.prepend(entry(event));
    if (this.list.children.length > MOST) this.list.lastChild.remove();
  }

  #isNew({ id }) {
    return !this.known.has(id) && Boolean(this.known.add(id));
  }
}

function entry({ kind, step, at, cause, worker, task, text }) {
  const where = [worker !== null && `worker ${worker}`, task, cause].filter(Boolean).join(" · ");
  return element(
    "li",
    { class: `event of-${KINDS.includes(kind) ? kind : "other"}` },
    element("span", { class: "kind" }, kind),
    element("span", { class: "when" }, `step ${count(step)}${at ? `, ${dateTime(at)}` : ""}`),
    element("span", { class: "what" }, text, where && element("small", {}, where)),
  );
}

// How many estimates were lost, by cause.
function lostTable(counts) {
  const causes = Object.entries(counts).sort(([, a], [, b]) => b - a);
  if (!causes.length) return element("p", {}, "No estimate was lost.");
  const most = causes[0][1];
  const rows = causes.map(([cause, size]) => {
    const bar = element("meter", {
      min: 0,
      max: most,
      value: size,
      "aria-label": `Estimates lost: ${cause}`,
    });
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, cause),
      element("td", { class: "number" }, count(size)),
      element("td", {}, bar),
    );
  });
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      {},
      element("caption", {}, "Estimates lost, by cause"),
      element("tbody", {}, rows),
    ),
  );
}
