// How the charts of a view are looked at: shared by all of them, and part of the address.

import { button, element } from "/static/dom.js";
import { duration, tick } from "/static/format.js";
import { note } from "/static/router.js";

// Events: "look" when they have to be drawn anew, "zoom" when other outer steps are wanted.
export class ChartSettings extends EventTarget {
  constructor(query) {
    super();
    this.axis = query.get("axis") === "time" ? "time" : "step";
    this.log = query.get("scale") !== "linear";
    this.band = query.get("band") !== "none";
    this.smoothing = Math.min(Math.max(Number(query.get("smoothing")) || 0, 0), 0.99);
    this.first = positive(query.get("first"));
    this.last = positive(query.get("last"));
    this.node = this.#bar();
    this.#showZoom();
  }

  get zoomed() {
    return this.first !== null;
  }

  get xLabel() {
    return this.axis === "step" ? "outer step" : "time of training";
  }

  xText(value) {
    return this.axis === "step" ? tick(value) : duration(value);
  }

  // Shows outer steps `first` to `last`, and no others; all of them when they are null.
  zoom(first, last) {
    if (first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    this.#showZoom();
    note({ first, last });
    this.dispatchEvent(new Event("zoom"));
  }

  #bar() {
    const axis = select("Axis", { step: "Outer step", time: "Time" }, this.axis, (value) => {
      this.#change({ axis: value }, { axis: value === "step" ? null : value });
    });
    const scale = select(
      "Scale",
      { log: "Logarithmic", linear: "Linear" },
      this.log ? "log" : "linear",
      (value) => {
        this.#change({ log: value === "log" }, { scale: value === "log" ? null : value });
      },
    );
    const band = checkbox("Least to greatest", this.band, (value) => {
      this.#change({ band: value }, { band: value ? null : "none" });
    });
    this.all = button("Show all steps", () => this.zoom(null, null), { class: "quiet" });
    const controls = [axis, scale, this.#slider(), band, this.all];
    return element(
      "div",
      { class: "settings", role: "group", "aria-label": "How charts are shown" },
      controls,
    );
  }

  #slider() {
    const text = element("output", { class: "amount" }, this.smoothing.toFixed(2));
    const range = { type: "range", min: 0, max: 0.99, step: 0.01, value: this.smoothing };
    const input = element("input", {
      ...range,
      oninput: () => {
        text.textContent = Number(input.value).toFixed(2);
        this.#change(
          { smoothing: Number(input.value) },
          { smoothing: Number(input.value) || null },
        );
      },
    });
    return element("label", {}, element("span", {}, "Smoothing"), input, text);
  }

  #change(values, noted) {
    Object.assign(this, values);
    note(noted);
    this.dispatchEvent(new Event("look"));
  }

  #showZoom() {
    this.all.hidden = !this.zoomed;
  }
}

export function select(label, choices, value, act) {
  const options = Object.entries(choices).map(([key, text]) => {
    return element("option", { value: key, selected: key === value }, text);
  });
  const input = element("select", { onchange: () => act(input.value) }, options);
  return element("label", {}, element("span", {}, label), input);
}

export function checkbox(label, checked, act) {
  const input = element("input", { type: "checkbox", checked, onchange: () => act(input.checked) });
  return element("label", { class: "check" }, input, element("span", {}, label));
}

function positive(text) {
  const value = Number.parseInt(text, 10);
  return value >= 0 ? value : null;
}
