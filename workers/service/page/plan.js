// What a run would do and take, before it does.

import { element } from "/static/dom.js";
import { bytes, count, duration } from "/static/format.js";

export function planSummary(plan) {
  const tiles = [
    ["Time", duration(plan.seconds), "with a core for every worker"],
    ["Memory of a worker", bytes(plan.worker_bytes), "besides the libraries"],
    ["Core hours", number(plan.core_hours), `${count(plan.workers)} workers`],
    plan.cost !== null && [
      "Cost",
      `${number(plan.cost)} ${plan.currency}`.trim(),
      "core hours times the price of one",
    ],
    ["Outer steps", count(plan.num_steps), ""],
  ].filter(Boolean);
  const boxes = tiles.map(([name, value, detail]) => {
    return element(
      "div",
      {},
      element("dt", {}, name),
      element("dd", { class: "value" }, value),
      element("dd", { class: "detail" }, detail),
    );
  });
  const lines = Object.entries(plan.text).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value)),
  );
  return [element("dl", { class: "tiles" }, boxes), element("dl", { class: "pairs" }, lines)];
}

function number(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
