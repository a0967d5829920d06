// The curves of a run, live.

import { get, query, runPath } from "/static/api.js";
import { ChartPanel } from "/static/chart_panel.js";
import { ChartSettings, select } from "/static/chart_settings.js";
import { Curves } from "/static/curves.js";
import { element, replace } from "/static/dom.js";
import { note } from "/static/router.js";

const MOST_NAMES = 30; // in a request and in the stream
const POINTS = 600; // of a curve
const MOST_LINES = 8; // in a chart

// What a chart shows: names of metrics, or the beginning of names that share it.
const CHARTS = [
  {
    title: "Meta-loss",
    names: { meta_loss: "meta-loss" },
    note: "Mean over the estimates of an outer step.",
  },
  {
    title: "Meta-loss by task family",
    under: "families/",
    after: "/meta_loss",
    least: 2,
    note: "Mean over the estimates on its tasks.",
  },
  {
    title: "Normalised meta-loss",
    under: "families/",
    after: "/meta_loss",
    relative: true,
    note: "Over the first that is shown, so that families can be compared.",
  },
  {
    title: "Meta-loss by task",
    under: "tasks/",
    after: "/meta_loss",
    least: 2,
    note: "At most eight of them; all families are under Tasks.",
  },
  {
    title: "Validation",
    names: { "validation/score": "score", "validation/best": "best so far" },
    note: "Lower is better; the best checkpoint is exported.",
  },
  { title: "Validation by task", under: "validation/losses/", note: "Of held-out inner runs." },
  {
    title: "Gradient norm",
    names: { gradient_norm: "gradient norm" },
    note: "Of the outer gradient, all leaves together.",
  },
  {
    title: "Gradient signal to noise",
    linear: true,
    names: {
      "gradient_noise/signal_to_noise": "signal to noise",
      "gradient_noise/cosine": "cosine of halves",
    },
    note: "Below 1 the noise is greater than the gradient.",
  },
  {
    title: "Staleness",
    names: { staleness: "greatest", effective_staleness: "weighted mean" },
    linear: true,
    note: "Outer steps that estimates are behind.",
  },
  {
    title: "Lost estimates",
    under: "dropped/",
    linear: true,
    zeros: true,
    note: "In outer steps that lost any, by cause.",
  },
  {
    title: "Inner steps per second",
    names: { inner_steps_per_second: "inner steps/s" },
    linear: true,
    note: "Of all workers together.",
  },
];

export async function curvesSection({ run, body, signal, query: asked, follow }) {
  const section = new CurvesSection(run, signal, asked, follow);
  replace(body, section.settings.node, section.empty, section.grid);
  await section.follow();
}

class CurvesSection {
  constructor(run, signal, asked, follow) {
    Object.assign(this, { run, signal, stream: follow });
    this.curves = new Curves();
    this.settings = new ChartSettings(asked);
    this.other = asked.get("metric");
    this.panels = CHARTS.map(
      (chart) => new ChartPanel(this.settings, { ...chart, log: !chart.linear }),
    );
    this.otherPanel = new ChartPanel(this.settings, { title: "Another metric" });
    this.choice = element("div", {});
    const another = element("div", { class: "another-metric" }, this.choice, this.otherPanel.node);
    this.empty = element("p", { class: "empty" }, "No outer step has been made yet.");
    this.grid = element(
      "div",
      { class: "panels" },
      this.panels.map(({ node }) => node),
      another,
    );
    this.#take(run);
    this.settings.addEventListener("look", () => this.draw());
    this.settings.addEventListener("zoom", () => this.load().catch(() => {}));
  }

  get names() {
    const shown = this.charts.flatMap(({ lines }) => lines.map(([name]) => name));
    return [...new Set([...(this.other ? [this.other] : []), ...shown])].slice(0, MOST_NAMES);
  }

  // Asks for the curves, and returns the cursor from which the stream goes on.
  async load() {
    const { first, last } = this.settings;
    const asked = query({ name: this.names, first, last, points: POINTS });
    const path = `${runPath(this.run.id)}/metrics${asked}`;
    const cursor = await this.curves.load(() => get(path, this.signal));
    this.draw();
    return cursor;
  }

  // Asks for them, and for how they go on.
  async follow() {
    const cursor = await this.load();
    const on = {
      metrics: (update) => update.run === this.run.id && this.append(update),
      rewind: ({ run, step }) => run === this.run.id && this.rewind(step),
      run: ({ step }) => step > 2 * this.lookedAt && this.#lookAgain(),
      event: (event) => this.#isOfUnknown(event) && this.#lookAgain(),
    };
    this.stream({ names: this.names, cursor, on });
  }

  append(update) {
    const { last, zoomed } = this.settings;
    if (zoomed && update.first > last) return;
    this.curves.append(update);
    this.draw();
  }

  rewind(step) {
    this.curves.rewind(step);
    this.draw();
  }

  draw() {
    this.empty.hidden = this.run.metrics.length > 0;
    this.charts.forEach(({ lines, relative, zeros }, i) => {
      const shown = lines.map(([name, label], style) => ({
        name: label,
        style,
        series: this.curves.get(name),
      }));
      this.panels[i].show(shown.map(relative ? overFirst : zeros ? withZeros : (curve) => curve));
    });
    const series = this.other && this.curves.get(this.other);
    this.otherPanel.show(series ? [{ name: this.other, style: 1, series }] : []);
  }

  // What can be shown of a run as it is now.
  #take(run) {
    this.run.metrics = run.metrics;
    this.lookedAt = run.step;
    this.charts = CHARTS.map((chart) => {
      const lines = linesOf(chart, run.metrics);
      return { ...chart, lines: lines.length < (chart.least || 1) ? [] : lines };
    });
    replace(this.choice, run.metrics.length > 0 && this.#another());
  }

  // Metrics come to be while a run goes on: with the first step, validation or loss.
  async #lookAgain() {
    this.lookedAt = Infinity; // until it is known
    const run = await get(runPath(this.run.id), this.signal).catch(() => null);
    if (!run) return void (this.lookedAt = this.run.step);
    const known = this.names.join("\n");
    if (this.choice.contains(document.activeElement)) this.lookedAt = run.step;
    else this.#take(run);
    if (this.names.join("\n") !== known) await this.follow().catch(() => {});
  }

  #isOfUnknown({ run, kind, cause }) {
    const name = { loss: `dropped/${cause}`, validation: "validation/score" }[kind];
    return (
      run === this.run.id && name && this.lookedAt < Infinity && !this.run.metrics.includes(name)
    );
  }

  #another() {
    const names = [...this.run.metrics].sort();
    const choices = Object.fromEntries([
      ["", "choose a metric"],
      ...names.map((name) => [name, name]),
    ]);
    const control = select("Another metric", choices, this.other || "", (name) => {
      this.other = name || null;
      note({ metric: this.other });
      this.follow().catch(() => {});
    });
    control.classList.add("another");
    return control;
  }
}

// [[metric, label]] of a chart, those that the run has.
function linesOf({ names, under, after = "" }, metrics) {
  if (names) return Object.entries(names).filter(([name]) => metrics.includes(name));
  return metrics
    .filter((name) => name.startsWith(under) && name.endsWith(after))
    .slice(0, MOST_LINES)
    .map((name) => [name, name.slice(under.length, name.length - after.length)]);
}

// What is counted is left out of a record where it is zero.
function withZeros({ series, ...curve }) {
  if (!series) return curve;
  const [mean, min, max] = [series.mean, series.min, series.max].map((values) =>
    values.map((value) => value ?? 0),
  );
  return { ...curve, series: { ...series, mean, min, max } };
}

function overFirst({ series, ...curve }) {
  const first = series?.mean.find((value) => value !== null && value !== 0);
  if (!first) return curve;
  const scaled = (values) => values.map((value) => (value === null ? null : value / first));
  return {
    ...curve,
    series: {
      ...series,
      mean: scaled(series.mean),
      min: scaled(series.min),
      max: scaled(series.max),
    },
  };
}
