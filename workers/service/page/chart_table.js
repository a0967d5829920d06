// The same numbers as a chart, for who would rather read them.

import { element } from "/static/dom.js";
import { count, duration, number } from "/static/format.js";

const MOST = 40; // rows; more of them are read elsewhere

// `lines` are [{name, x, y}] as a chart draws them.
export function chartTable(title, lines, { axis, xLabel }) {
  const rows = chosen([...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b));
  const values = lines.map((line) => new Map(line.x.map((x, i) => [x, line.y[i]])));
  const head = [xLabel, ...lines.map((line) => line.name)].map((text) =>
    element("th", { scope: "col" }, text),
  );
  const body = rows.map((x) => {
    const first = element("th", { scope: "row" }, axis === "step" ? count(x) : duration(x));
    return element(
      "tr",
      {},
      first,
      values.map((of) => element("td", { class: "number" }, number(of.get(x)))),
    );
  });
  const caption = element("caption", {}, `${title}, ${rows.length} points`);
  return element(
    "table",
    {},
    caption,
    element("thead", {}, element("tr", {}, head)),
    element("tbody", {}, body),
  );
}

// At most `MOST` of the values, evenly, with the first and the last.
function chosen(values) {
  if (values.length <= MOST) return values;
  return Array.from(
    { length: MOST },
    (_, i) => values[Math.round((i * (values.length - 1)) / (MOST - 1))],
  );
}
