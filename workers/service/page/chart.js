// A chart as SVG: lines with bands. Colours and dashes are classes of the style sheet, so that one
// chart does in light, in dark and in print.

import { drawn, replace } from "/static/dom.js";
import { tick } from "/static/format.js";
import { around, Scale } from "/static/scales.js";

const LEFT = 46,
  RIGHT = 12,
  TOP = 10,
  BOTTOM = 34;
const NUM_COLORS = 8,
  NUM_DASHES = 8;

// The classes of a line: a colour and a dash, a pairing that no other of 50 styles has.
export function styleClass(style) {
  const turn = style ? Math.floor((style - 1) / (NUM_COLORS - 1)) : 0;
  return `${colorClass(style)} d${(style + 2 * turn) % NUM_DASHES}`;
}

export function colorClass(style) {
  return `c${style ? 1 + ((style - 1) % (NUM_COLORS - 1)) : 0}`;
}

// A short piece of a line, for a legend.
export function swatch(style) {
  const line = drawn("line", { class: `line ${styleClass(style)}`, x1: 1, x2: 33, y1: 6, y2: 6 });
  return drawn("svg", { class: "swatch", viewBox: "0 0 34 12", "aria-hidden": "true" }, line);
}

// Where things are in a chart of `lines` [{style, x, y, low, high}], whose values may be null.
export function layout(lines, { width, height, log, range, axis = "step", xLabel, xText = tick }) {
  const x = range
    ? new Scale(...range)
    : around(
        lines.flatMap((line) => line.x),
        false,
        0,
      );
  const shown = lines.flatMap((line) => [line.y, line.low || [], line.high || []]).flat();
  const y = around(shown, log);
  const across = width - LEFT - RIGHT,
    up = height - TOP - BOTTOM;
  return {
    x,
    y,
    width,
    height,
    axis,
    xLabel,
    xText,
    left: (value) => LEFT + across * x.place(value),
    top: (value) => TOP + up * (1 - clip(y.place(value))),
    value: (left) => x.at(clip((left - LEFT) / across)),
  };
}

export function draw(svg, lines, place) {
  svg.setAttribute("viewBox", `0 0 ${place.width} ${place.height}`);
  const all = [...lines].reverse();
  replace(
    svg,
    frame(place),
    all.map((line) => band(line, place)),
    all.map((line) => curve(line, place)),
  );
}

// A thin line across, with a point on each curve: what is read off.
export function cursor(lines, place, value, indices) {
  const left = place.left(value);
  const rule = drawn("line", {
    class: "reading",
    x1: left,
    x2: left,
    y1: TOP,
    y2: place.height - BOTTOM,
  });
  const points = lines.map((line, i) => {
    const y = line.y[indices[i]];
    if (y === null || y === undefined) return null;
    const at = { cx: place.left(line.x[indices[i]]), cy: place.top(y), r: 3.5 };
    return drawn("circle", { class: `point ${colorClass(line.style)}`, ...at });
  });
  return drawn("g", {}, rule, points);
}

// What a drag has chosen so far.
export function selection(place, from, to) {
  const [x, width] = [Math.min(from, to), Math.abs(to - from)];
  return drawn("rect", {
    class: "selection",
    x,
    width,
    y: TOP,
    height: place.height - TOP - BOTTOM,
  });
}

function frame({ x, y, width, height, axis, left, top, xLabel, xText }) {
  const parts = [];
  for (const value of y.ticks(4)) {
    parts.push(
      drawn("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: top(value), y2: top(value) }),
    );
    parts.push(
      drawn("text", { x: LEFT - 7, y: top(value) + 4, "text-anchor": "end" }, tick(value)),
    );
  }
  const base = height - BOTTOM;
  const number = Math.max(2, Math.round(width / 110));
  for (const value of axis === "time" ? x.timeTicks(number) : x.ticks(number)) {
    parts.push(
      drawn("line", { class: "mark", x1: left(value), x2: left(value), y1: base, y2: base + 4 }),
    );
    const anchor = left(value) > width - 3 * RIGHT ? "end" : "middle"; // or it would stick out
    parts.push(
      drawn("text", { x: left(value), y: base + 16, "text-anchor": anchor }, xText(value)),
    );
  }
  parts.push(drawn("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: base, y2: base }));
  parts.push(drawn("text", { x: width - RIGHT, y: height - 3, "text-anchor": "end" }, xLabel));
  return parts;
}

function curve(line, place) {
  const path = pen(
    line.x.map((x, i) => [x, line.y[i]]),
    place,
  );
  const emphasis = line.style === 0 ? " first" : "";
  return path && drawn("path", { class: `line ${styleClass(line.style)}${emphasis}`, d: path });
}

function band(line, place) {
  if (!line.low) return null;
  const inside = line.x
    .map((x, i) => [x, line.low[i], line.high[i]])
    .filter(([, a, b]) => a !== null && b !== null);
  if (inside.length < 2) return null;
  const above = inside.map(([x, , high]) => [x, high]);
  const below = inside.map(([x, low]) => [x, low]).reverse();
  return drawn("path", {
    class: `band ${colorClass(line.style)}`,
    d: `${pen([...above, ...below], place)}Z`,
  });
}

// The command that draws a line, in tenths; a gap where a value is null, a dot where one is alone.
function pen(points, place) {
  let path = "",
    up = true;
  points.forEach(([x, y], i) => {
    if (y === null || y === undefined) return void (up = true);
    const at = `${place.left(x).toFixed(1)} ${place.top(y).toFixed(1)}`;
    const alone = up && (points[i + 1]?.[1] ?? null) === null;
    path += `${up ? "M" : "L"}${at}${alone ? `L${at}` : ""}`;
    up = false;
  });
  return path;
}

function clip(share) {
  return Number.isNaN(share) ? 0 : Math.min(1, Math.max(0, share));
}
