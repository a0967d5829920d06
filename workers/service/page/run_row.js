// A run as a row of the table.

import { drawn, element, replace, setText } from "/static/dom.js";
import { counted, dateTime, duration, listed, number, stepsDone } from "/static/format.js";
import { go, link } from "/static/router.js";
import { drawSparkline } from "/static/sparkline.js";
import { badge, showState } from "/static/states.js";

export const COLUMNS = [
  "Compare",
  "Run",
  "State",
  "Outer steps",
  "Meta-loss",
  "Best",
  "Workers",
  "Began",
];

export class RunRow {
  #cells = {};

  // `chosen(row)` is called when the run is taken into a comparison, or out of it.
  constructor({ id }, chosen) {
    this.id = id;
    this.box = element("input", {
      type: "checkbox",
      "aria-label": `Compare ${id}`,
      onchange: () => chosen(this),
    });
    this.badge = badge("pending");
    this.spark = drawn("svg", { class: "spark", viewBox: "0 0 120 28", role: "img" });
    this.value = element("span", { class: "value" });
    this.progress = element("progress", { "aria-label": `Outer steps of ${id}` });
    for (const name of COLUMNS)
      this.#cells[name] = element("td", { role: "cell", "data-label": name });
    this.#cells.Run = element("th", { scope: "row", role: "rowheader" });
    this.#fill();
    this.node = element(
      "tr",
      { role: "row", onclick: (event) => this.#open(event) },
      COLUMNS.map((name) => this.#cells[name]),
    );
  }

  get chosen() {
    return this.box.checked;
  }

  show(run) {
    this.state = run.state;
    showState(this.badge, run.state);
    setText(this.reason, run.reason);
    setText(
      this.about,
      [run.optimizer, run.estimator, listed(run.tasks, 2)].filter(Boolean).join(" · "),
    );
    const left = run.seconds_left === null ? "" : `, ${duration(run.seconds_left)} left`;
    setText(this.steps, `${stepsDone(run)}${left}`);
    this.progress.max = run.num_steps || 1;
    this.progress.value = Math.min(run.step, run.num_steps ?? 0);
    setText(this.value, number(run.meta_loss));
    drawSparkline(
      this.spark,
      run.sparkline,
      `Meta-loss of ${run.id} over the run, now ${number(run.meta_loss)}`,
    );
    setText(this.#cells.Best, number(run.best));
    setText(this.#cells.Workers, counted(run.workers) || "–");
    setText(this.#cells.Began, dateTime(run.began));
  }

  #fill() {
    this.about = element("small", {});
    this.reason = element("small", {});
    this.steps = element("span", {});
    replace(this.#cells.Compare, this.box);
    replace(this.#cells.Run, element("a", { href: link(["runs", this.id]) }, this.id), this.about);
    replace(this.#cells.State, this.badge, this.reason);
    replace(this.#cells["Outer steps"], this.steps, this.progress);
    replace(this.#cells["Meta-loss"], this.spark, this.value);
  }

  #open(event) {
    const selecting = String(getSelection()).length > 0;
    if (!event.target.closest("a, input, label") && !selecting) go(["runs", this.id]);
  }
}
