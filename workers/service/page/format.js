// Numbers, times and sizes as text.

const UNKNOWN = "–";

// Four significant digits.
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  return size >= 1e4 ? count(Math.round(value)) : trimmed(value.toPrecision(4));
}

// As short as an axis needs.
export function tick(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-3) return trimmed(value.toExponential(1)).replace("e+", "e");
  if (size >= 1e6) return `${trimmed((value / 1e6).toPrecision(4))}M`;
  if (size >= 1e4) return `${trimmed((value / 1e3).toPrecision(4))}k`;
  return trimmed(value.toPrecision(4));
}

export function count(value) {
  return value === null || value === undefined ? UNKNOWN : value.toLocaleString("en");
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

export function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = size > 0 ? Math.min(Math.floor(Math.log10(size) / 3), units.length - 1) : 0;
  return `${trimmed((size / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

// A length of time in its two greatest units.
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 0.1) return `${trimmed((1000 * seconds).toPrecision(2))} ms`;
  if (seconds < 1) return `${trimmed(seconds.toPrecision(2))} s`;
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([size]) => size > 0);
  return parts
    .slice(first, first + 2)
    .filter(([size]) => size > 0)
    .map(([size, unit]) => `${size} ${unit}`)
    .join(" ");
}

export function since(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  return seconds < 3 ? "now" : `${duration(seconds)} ago`;
}

export function dateTime(time) {
  return time
    ? new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })
    : UNKNOWN;
}

// As many of the names as are read at a glance.
export function listed(names, most) {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

export function stepsDone({ step, num_steps: all }) {
  return all === null ? count(step) : `${count(step)} of ${count(all)}`;
}

// The counts that are not zero, each with its name.
export function counted(counts) {
  return Object.entries(counts)
    .filter(([, size]) => size)
    .map(([name, size]) => `${count(size)} ${name}`)
    .join(", ");
}

function trimmed(text) {
  const [mantissa, exponent] = text.split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return exponent === undefined ? short : `${short}e${exponent}`;
}
