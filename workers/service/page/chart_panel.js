// A chart with all around it: title, legend, reading by pointer and keys, zoom, and a table.

import { announce } from "/static/announce.js";
import { cursor, draw, layout, selection, styleClass, swatch } from "/static/chart.js";
import { chartTable } from "/static/chart_table.js";
import { button, drawn, element, replace, setText } from "/static/dom.js";
import { number } from "/static/format.js";
import { smoothed } from "/static/smoothing.js";

const KEYS = "Arrow keys read values, plus and minus zoom, Escape shows all.";

export class ChartPanel {
  #curves = []; // [{name, style, series}]
  #lines = [];
  #place = null;
  #reading = null; // the value of x that is read off
  #from = null; // where a drag began, and where it is
  #to = null;
  #drawing = 0;

  // `settings` is a `ChartSettings`; `log` false is for what is counted.
  constructor(settings, { title, note = "", log = true, level = 3, height = 230 }) {
    Object.assign(this, { settings, title, log, height });
    this.svg = drawn("svg", { class: "chart", "aria-hidden": "true" });
    this.overlay = drawn("g", {});
    this.plot = element(
      "div",
      { class: "plot", tabindex: 0, role: "application", "aria-roledescription": "chart" },
      this.svg,
    );
    this.legend = element("ul", { class: "legend" });
    this.table = element("div", {
      class: "scroll as-table",
      hidden: true,
      tabindex: 0,
      role: "region",
      "aria-label": `Table of ${title}`,
    });
    this.toggle = button("", () => this.#toggleTable(), { class: "quiet" });
    this.#nameToggle();
    this.heading = element(`h${level}`, {}, title);
    const head = element("div", { class: "panel-head" }, this.heading, this.toggle);
    this.node = element(
      "figure",
      { class: "panel" },
      head,
      element("p", { class: "note" }, note),
      this.legend,
      this.plot,
      this.table,
    );
    this.#listen();
    new ResizeObserver(() => this.redraw()).observe(this.node);
  }

  // Curves are [{name, style, series}]; those without a series are left out.
  show(curves) {
    this.#curves = curves.filter(({ series }) => series?.step.length);
    this.node.hidden = !this.#curves.length;
    this.redraw();
  }

  rename(title) {
    this.title = title;
    this.heading.textContent = title;
    this.table.setAttribute("aria-label", `Table of ${title}`);
    this.#nameToggle();
  }

  redraw() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const width = Math.round(this.node.clientWidth);
    if (!width || !this.#curves.length) return;
    const log =
      this.log &&
      this.settings.log &&
      this.#curves.every(({ series }) => series.mean.every((v) => v === null || v > 0));
    this.#lines = this.#curves.map((curve) => this.#line(curve, log));
    const { settings } = this;
    this.#place = layout(this.#lines, {
      width,
      height: this.height,
      log,
      range: this.#range(),
      axis: settings.axis,
      xLabel: settings.xLabel,
      xText: (value) => settings.xText(value),
    });
    draw(this.svg, this.#lines, this.#place);
    this.svg.append(this.overlay);
    this.#showReading();
    if (!this.table.hidden) this.#showTable();
  }

  #line({ name, style, series }, log) {
    const { axis, smoothing, band } = this.settings;
    series = ofWhatIsKnown(series);
    const x = axis === "step" ? series.step : series.seconds;
    const extremes = band && {
      low: series.min.map(positiveIf(log)),
      high: series.max.map(positiveIf(log)),
    };
    return { name, style, x, y: smoothed(series.mean, smoothing, log), ...extremes };
  }

  // The ends of the axis where the zoom says so; by time, those of the points within.
  #range() {
    const { zoomed, axis, first, last } = this.settings;
    const steps = zoomed && [first, last];
    if (steps && axis === "step") return steps[1] > steps[0] ? steps : null;
    return null;
  }

  #listen() {
    const { plot } = this;
    plot.addEventListener("pointerdown", (event) => this.#begin(event));
    plot.addEventListener("pointermove", (event) => this.#move(event));
    plot.addEventListener("pointerup", (event) => this.#end(event));
    plot.addEventListener("pointercancel", () => this.#leave());
    plot.addEventListener("pointerleave", () => this.#from === null && this.#leave());
    plot.addEventListener("blur", () => this.#leave());
    plot.addEventListener("keydown", (event) => this.#key(event));
  }

  #begin(event) {
    if (event.pointerType !== "mouse" || event.button !== 0 || !this.#place) return;
    this.#from = this.#to = event.offsetX;
    this.plot.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.#place) return;
    this.#to = event.offsetX;
    this.#read(this.#place.value(event.offsetX));
  }

  #end(event) {
    const from = this.#from;
    this.#from = null;
    if (from !== null && Math.abs(event.offsetX - from) > 8) {
      const ends = [from, event.offsetX].map((left) => this.#place.value(left));
      this.#zoomTo(Math.min(...ends), Math.max(...ends));
    }
  }

  #leave() {
    this.#from = this.#reading = null;
    this.#showReading();
  }

  #key(event) {
    const points = this.#lines[0]?.x;
    if (!points || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = nearest(points, this.#reading ?? points.at(-1));
    const far = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: at - far, ArrowRight: at + far, Home: 0, End: points.length - 1 };
    if (event.key in moves) {
      this.#read(points[Math.min(Math.max(moves[event.key], 0), points.length - 1)]);
      announce(this.#readingText());
    } else if (event.key === "+" || event.key === "=") this.#zoomBy(0.5, points[at]);
    else if (event.key === "-") this.#zoomBy(2, points[at]);
    else if (event.key === "Escape" || event.key === "0") this.settings.zoom(null, null);
    else return;
    event.preventDefault();
  }

  #zoomBy(factor, around) {
    const { low, high } = this.#place.x;
    const half = (factor * (high - low)) / 2;
    if (factor > 1 && !this.settings.zoomed) return;
    const middle = Math.min(Math.max(around, low + Math.min(half, (high - low) / 2)), high);
    this.#zoomTo(Math.max(0, middle - half), middle + half);
  }

  // From values of x to outer steps.
  #zoomTo(low, high) {
    const { step, seconds } = this.#curves[0].series;
    const toStep = (value) =>
      this.settings.axis === "step" ? value : step[nearest(seconds, value)];
    const first = Math.max(0, Math.floor(toStep(low)));
    this.settings.zoom(first, Math.max(first + 1, Math.ceil(toStep(high))));
  }

  #read(value) {
    this.#reading = value;
    this.#showReading();
  }

  #showReading() {
    const reading = this.#reading;
    const at = this.#lines.map((line) =>
      reading === null ? line.x.length - 1 : nearest(line.x, reading),
    );
    if (reading === null || !this.#lines.length) this.overlay.replaceChildren();
    else {
      const chosen = this.#from !== null && selection(this.#place, this.#from, this.#to);
      replace(this.overlay, cursor(this.#lines, this.#place, this.#lines[0].x[at[0]], at), chosen);
    }
    this.#showLegend(at);
    this.plot.setAttribute("aria-label", `${this.title}. Newest: ${this.#valuesText()}. ${KEYS}`);
  }

  #showLegend(at) {
    const names = this.#lines.map((line) => `${styleClass(line.style)} ${line.name}`).join("\n");
    if (this.legend.dataset.names !== names) {
      this.legend.dataset.names = names;
      replace(
        this.legend,
        this.#lines.map(({ name, style }) => {
          const text = element("span", { class: "series" }, name);
          return element("li", {}, swatch(style), text, element("span", { class: "value" }));
        }),
      );
    }
    this.#lines.forEach((line, i) =>
      setText(this.legend.children[i].lastChild, number(line.y[at[i]])),
    );
  }

  #valuesText() {
    return this.#lines
      .map((line) => `${line.name} ${number(line.y.findLast((value) => value !== null))}`)
      .join(", ");
  }

  #readingText() {
    const values = this.#lines.map(
      (line) => `${line.name} ${number(line.y[nearest(line.x, this.#reading)])}`,
    );
    return `${this.settings.xLabel} ${number(this.#reading)}: ${values.join(", ")}`;
  }

  #toggleTable() {
    this.table.hidden = !this.table.hidden;
    this.plot.hidden = !this.table.hidden;
    this.#nameToggle();
    if (this.table.hidden) this.redraw();
    else this.#showTable();
  }

  #nameToggle() {
    const other = this.table.hidden ? "table" : "chart";
    this.toggle.textContent = `Show as ${other}`;
    this.toggle.setAttribute("aria-label", `Show as ${other}: ${this.title}`);
  }

  #showTable() {
    replace(this.table, chartTable(this.title, this.#lines, this.settings));
  }
}

// The index of the value that is closest, of values that rise.
export function nearest(values, value) {
  let low = 0,
    high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - values[low - 1] < values[low] - value ? low - 1 : low;
}

// What is measured now and then has a line through what there is; otherwise a gap is a gap.
function ofWhatIsKnown(series) {
  const known = series.mean.map((value) => value !== null);
  if (known.filter(Boolean).length > known.length / 2) return series;
  return Object.fromEntries(
    Object.entries(series).map(([key, values]) => [key, values.filter((_, i) => known[i])]),
  );
}

function positiveIf(log) {
  return (value) => (log && value !== null && value <= 0 ? null : value);
}
