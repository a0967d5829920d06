// Where a value lies between the ends of an axis, and which values have a tick.

const MINUTE = 60,
  HOUR = 3600,
  DAY = 86400;
const TIMES = [
  1,
  2,
  5,
  10,
  30,
  ...[1, 2, 5, 10, 30].map((i) => i * MINUTE),
  ...[1, 2, 6, 12].map((i) => i * HOUR),
  ...[1, 2, 5, 10].map((i) => i * DAY),
];

// An axis from `low` to `high`, which are positive where it is logarithmic.
export class Scale {
  constructor(low, high, log = false) {
    Object.assign(this, { low, high, log });
  }

  // 0 at `low` and 1 at `high`.
  place(value) {
    const [v, l, h] = this.log
      ? [value, this.low, this.high].map(Math.log)
      : [value, this.low, this.high];
    return (v - l) / (h - l);
  }

  // What lies there.
  at(share) {
    if (!this.log) return this.low + share * (this.high - this.low);
    return this.low * (this.high / this.low) ** share;
  }

  // Round values from `low` to `high`, about `number` of them.
  ticks(number) {
    return this.log ? powers(this, number) : multiples(this, number);
  }

  // The same of seconds, in whole minutes and hours.
  timeTicks(number) {
    const rough = (this.high - this.low) / number;
    const step = TIMES.find((time) => time >= rough);
    return rough < TIMES[0] || !step ? multiples(this, number) : all(this, step);
  }
}

// A scale on which all finite values fit; linear where some are not positive.
export function around(values, log, margin = 0.05) {
  const finite = values.filter((value) => value !== null && Number.isFinite(value));
  if (!finite.length) return new Scale(0, 1);
  let [low, high] = [Infinity, -Infinity];
  for (const value of finite) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (log && low > 0) {
    const wider = Math.max(high / low, 1.1) ** margin;
    return new Scale(low / wider, high * wider, true);
  }
  const wider = high > low ? margin * (high - low) : 0.1 * Math.abs(high) || 1;
  return new Scale(low - (low >= 0 && low < wider ? low : wider), high + wider);
}

function multiples(scale, number) {
  const rough = (scale.high - scale.low) / number;
  const power = 10 ** Math.floor(Math.log10(rough));
  return all(
    scale,
    power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)),
  );
}

function all({ low, high }, step) {
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    values.push(Number((i * step).toPrecision(12)));
  }
  return values;
}

function powers(scale, number) {
  const [low, high] = [Math.log10(scale.low), Math.log10(scale.high)];
  if (high - low < 0.6) return multiples(scale, number);
  const mantissas = high - low < 1.7 ? [1, 2, 5] : high - low < 2.5 ? [1, 3] : [1];
  const every = Math.max(1, Math.ceil((high - low) / number));
  const values = [];
  for (let e = Math.floor(low); e <= Math.ceil(high); e++) {
    if (e % every === 0) values.push(...mantissas.map((m) => Number((m * 10 ** e).toPrecision(6))));
  }
  return values.filter((value) => value >= scale.low && value <= scale.high);
}
