// A curve as small as a word.

import { drawn } from "/static/dom.js";

const WIDTH = 120,
  HEIGHT = 28;

// Values may be null, which leaves a gap; logarithmic where they span a factor of 10.
export function sparkline(values, label) {
  const svg = drawn("svg", {
    class: "spark",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": label,
  });
  drawSparkline(svg, values, label);
  return svg;
}

export function drawSparkline(svg, values, label) {
  const finite = values.filter((value) => value !== null);
  svg.setAttribute("aria-label", label);
  if (finite.length < 2) return svg.replaceChildren();
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const log = low > 0 && high / low >= 10;
  const place = (value) => {
    const [v, l, h] = log ? [value, low, high].map(Math.log) : [value, low, high];
    return h > l ? HEIGHT - 4 - ((HEIGHT - 8) * (v - l)) / (h - l) : HEIGHT / 2;
  };
  const across = (i) => 2 + ((WIDTH - 8) * i) / Math.max(1, values.length - 1);
  let path = "",
    up = true;
  values.forEach((value, i) => {
    if (value !== null)
      path += `${up ? "M" : "L"}${across(i).toFixed(1)} ${place(value).toFixed(1)}`;
    up = value === null;
  });
  const last = values.findLastIndex((value) => value !== null);
  svg.replaceChildren(
    drawn("path", { class: "spark-line", d: path }),
    drawn("circle", { class: "spark-end", cx: across(last), cy: place(values[last]), r: 2.4 }),
  );
}
