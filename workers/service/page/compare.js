// Two to eight runs in one chart. What is compared is in the address, so that it can be sent.

import { announce } from "/static/announce.js";
import { get, query, runPath } from "/static/api.js";
import { swatch } from "/static/chart.js";
import { ChartPanel } from "/static/chart_panel.js";
import { ChartSettings, select } from "/static/chart_settings.js";
import { copyButton } from "/static/copy.js";
import { Curves } from "/static/curves.js";
import { button, element, replace, setText } from "/static/dom.js";
import { count, number } from "/static/format.js";
import { link, note } from "/static/router.js";
import { badge } from "/static/states.js";
import { follow } from "/static/stream.js";

const MOST = 8;
const POINTS = 600; // of a curve
const WAIT = 250; // ms after a key, before runs are looked for

export async function compareView({ main, route, signal, title }) {
  title("Compare runs");
  const view = new Comparison(route.query, signal);
  const kicker = element("p", { class: "kicker" }, "Two to eight runs");
  const head = element(
    "div",
    { class: "view-head" },
    element("div", {}, kicker, element("h1", { tabindex: -1 }, "Compare runs")),
    element(
      "div",
      { class: "actions" },
      copyButton("Copy link", () => location.href, ""),
    ),
  );
  replace(main, head, view.chooser(), view.problem, view.controls, view.panel.node, view.table);
  await view.choose(route.query.getAll("run"));
  return (route) => view.choose(route.query.getAll("run"));
}

class Comparison {
  #runs = []; // as the service tells of them
  #curves = new Map(); // by id
  #following = new AbortController();

  constructor(asked, signal) {
    this.signal = signal;
    this.metric = asked.get("metric") || "meta_loss";
    this.settings = new ChartSettings(asked);
    this.panel = new ChartPanel(this.settings, { title: this.metric, level: 2, height: 340 });
    this.controls = element("div", {});
    this.chips = element("ul", { class: "picked", "aria-label": "Runs that are compared" });
    this.problem = element("p", { class: "problem", role: "alert" });
    this.table = element("div", {
      class: "scroll",
      tabindex: 0,
      role: "region",
      "aria-label": "Newest values",
    });
    this.settings.addEventListener("look", () => this.#draw());
    this.settings.addEventListener("zoom", () => this.#load());
  }

  // Takes the runs of these names, as far as they exist.
  async choose(names) {
    const wanted = [...new Set(names)].slice(0, MOST);
    const found = await Promise.allSettled(wanted.map((name) => get(runPath(name), this.signal)));
    if (this.signal.aborted) return;
    this.#runs = found.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
    const missing = wanted.filter((_, i) => found[i].status === "rejected");
    setText(this.problem, missing.length ? `There is no run ${missing.join(", ")}.` : "");
    note({ run: this.#runs.map(({ id }) => id) });
    this.#showChosen();
    await this.#load();
  }

  chooser() {
    const known = element("datalist", { id: "known-runs" });
    const look = later(async () => {
      const page = await get(
        `/v1/runs${query({ text: input.value.trim(), limit: 20 })}`,
        this.signal,
      );
      replace(
        known,
        page.runs.map(({ id }) => element("option", { value: id })),
      );
    });
    const input = element("input", {
      list: "known-runs",
      autocomplete: "off",
      oninput: look,
      onfocus: look,
    });
    const add = (event) => {
      event.preventDefault();
      const name = input.value.trim();
      if (!name) return;
      if (this.#runs.length >= MOST)
        return setText(this.problem, `At most ${MOST} runs are compared.`);
      input.value = "";
      announce(`${name} added`);
      this.choose([...this.#runs.map(({ id }) => id), name]);
    };
    const label = element("label", {}, element("span", {}, "Add a run"), input);
    const form = element(
      "form",
      { class: "settings", onsubmit: add },
      label,
      element("button", {}, "Add"),
      known,
    );
    return element("div", { class: "chooser" }, this.chips, form);
  }

  async #load() {
    this.#following.abort();
    this.#following = new AbortController();
    const signal = AbortSignal.any([this.signal, this.#following.signal]);
    const { first, last } = this.settings;
    this.#curves = new Map(this.#runs.map(({ id }) => [id, new Curves()]));
    const answers = await Promise.allSettled(
      [...this.#curves].map(([id, curves]) => {
        const asked = query({ name: this.metric, first, last, points: POINTS });
        const path = `${runPath(id)}/metrics${asked}`;
        return curves.load(() => get(path, signal));
      }),
    );
    if (signal.aborted) return;
    this.#draw();
    const cursors = answers.map(({ value }) => value).filter(Boolean);
    if (this.#runs.length) this.#follow(cursors.join("&"), signal);
  }

  #follow(cursor, signal) {
    const on = {
      metrics: (update) => {
        const { zoomed, last } = this.settings;
        if (!zoomed || update.first <= last) this.#curves.get(update.run)?.append(update);
        this.#draw();
      },
      rewind: ({ run, step }) => (this.#curves.get(run)?.rewind(step), this.#draw()),
      run: (news) => {
        const run = this.#runs.find(({ id }) => id === news.id);
        if (run) (Object.assign(run, news), this.#showTable());
      },
    };
    follow({ runs: this.#runs.map(({ id }) => id), names: [this.metric], cursor, signal, on });
  }

  #draw() {
    this.panel.show(
      this.#runs.map(({ id }, style) => ({
        name: id,
        style,
        series: this.#curves.get(id)?.get(this.metric),
      })),
    );
    this.#showTable();
  }

  #showChosen() {
    replace(
      this.chips,
      this.#runs.map(({ id }) => {
        const others = this.#runs.map((run) => run.id).filter((other) => other !== id);
        const remove = () => (announce(`${id} removed`), this.choose(others));
        return element(
          "li",
          {},
          element("a", { href: link(["runs", id]) }, id),
          button("×", remove, { "aria-label": `Remove ${id}` }),
        );
      }),
    );
    const metrics = [...new Set(this.#runs.flatMap((run) => run.metrics))].sort();
    if (!metrics.includes(this.metric)) metrics.unshift(this.metric);
    const choice = select(
      "Metric",
      Object.fromEntries(metrics.map((name) => [name, name])),
      this.metric,
      (name) => {
        this.metric = name;
        note({ metric: name });
        this.panel.rename(name);
        this.#load();
      },
    );
    this.settings.node.querySelector(".metric")?.remove();
    choice.classList.add("metric");
    this.settings.node.prepend(choice);
    replace(this.controls, this.#runs.length > 0 && this.settings.node);
  }

  #showTable() {
    if (!this.#runs.length)
      return replace(
        this.table,
        element("p", { class: "empty" }, "Add runs here, or choose them in the table of runs."),
      );
    const columns = [
      "Run",
      "State",
      "Outer steps",
      this.metric,
      "Best validation",
      "Optimizer",
      "Estimator",
    ];
    const rows = this.#runs.map((run, style) => {
      const newest = this.#curves
        .get(run.id)
        ?.get(this.metric)
        ?.mean.findLast((value) => value !== null);
      const texts = [
        count(run.step),
        number(newest),
        number(run.best),
        run.optimizer,
        run.estimator,
      ];
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, swatch(style), " ", run.id),
        element("td", {}, badge(run.state)),
        texts.map((text) => element("td", {}, text)),
      );
    });
    const head = columns.map((text) => element("th", { scope: "col" }, text));
    replace(
      this.table,
      element(
        "table",
        {},
        element("caption", {}, "Newest values"),
        element("thead", {}, element("tr", {}, head)),
        element("tbody", {}, rows),
      ),
    );
  }
}

function later(act) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => act().catch(() => {}), WAIT);
  };
}
