// The workers of a run and how they fare, asked for again and again while they are looked at.

import { get, runPath } from "/static/api.js";
import { element, replace, setText } from "/static/dom.js";
import { count, counted, duration, since } from "/static/format.js";
import { badge, showState } from "/static/states.js";

const EVERY = 2000; // ms
const COLUMNS = [
  "Worker",
  "State",
  "Task",
  "Estimates",
  "Failures in a row",
  "Estimate takes",
  "Busy for",
  "Lost estimates",
  "Process",
];

export async function workersSection({ run, body, signal }) {
  const note = element("p", { class: "note" });
  const rows = element("tbody", { role: "rowgroup" });
  const head = COLUMNS.map((text) => element("th", { scope: "col", role: "columnheader" }, text));
  const table = element(
    "table",
    { class: "cards", role: "table" },
    element("caption", { class: "unseen" }, "Workers"),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, head)),
    rows,
  );
  replace(
    body,
    note,
    element(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of workers" },
      table,
    ),
  );
  const look = async () => show(await get(`${runPath(run.id)}/workers`, signal), note, rows);
  await look();
  const timer = setInterval(() => document.hidden || look().catch(() => {}), EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function show({ at, workers }, note, rows) {
  setText(note, at ? `As of ${since(at)}.` : "This run has said nothing of its workers.");
  const known = new Map([...rows.children].map((row) => [row.dataset.worker, row]));
  const wanted = workers.map((worker) => {
    const row = known.get(String(worker.worker)) || emptyRow(worker);
    fill(row, worker);
    return row;
  });
  const same =
    wanted.length === rows.children.length && wanted.every((row, i) => row === rows.children[i]);
  if (!same) replace(rows, wanted);
}

function emptyRow({ worker, state }) {
  const first = element(
    "th",
    { scope: "row", role: "rowheader", "data-label": COLUMNS[0] },
    String(worker),
  );
  const cells = COLUMNS.slice(1).map((name) => element("td", { role: "cell", "data-label": name }));
  cells[0].append(badge(state));
  return element("tr", { role: "row", "data-worker": worker }, first, cells);
}

function fill(row, worker) {
  const [, state, ...cells] = row.children;
  showState(state.firstChild, worker.state);
  const texts = [
    worker.task,
    count(worker.results),
    count(worker.failures),
    duration(worker.seconds),
    duration(worker.busy_seconds),
    counted(worker.lost) || "none",
    worker.pid === null ? "–" : String(worker.pid),
  ];
  texts.forEach((text, i) => setText(cells[i], text));
}
