// The curves of one run as they grow: what was asked for, and then what the stream brings.

const MOST = 1600; // points of a curve; beyond that, neighbours become one

export class Curves {
  #series = new Map();
  #widths = new Map(); // outer steps of a point, by name
  #meanwhile = null; // what the stream brought while an answer was waited for
  #step = 0; // the newest outer step in them

  // Takes what `ask()` answers, which is `Metrics`, in place of all; returns its cursor.
  async load(ask) {
    const meanwhile = (this.#meanwhile = []);
    const metrics = await ask();
    this.#step = metrics.step;
    this.#series = new Map(Object.entries(metrics.series));
    this.#widths = new Map([...this.#series].map(([name, series]) => [name, widthOf(series)]));
    if (this.#meanwhile === meanwhile) this.#meanwhile = null;
    for (const update of meanwhile) this.append(update);
    return metrics.cursor;
  }

  // Takes the data of the stream's event `metrics`; what is known already is left out.
  append(update) {
    this.#meanwhile?.push(update);
    if (update.last <= this.#step) return;
    for (const [name, series] of Object.entries(update.series)) this.#extend(name, series);
    this.#step = update.last;
  }

  // The run went on from `step`: what came later did not happen.
  rewind(step) {
    this.#step = Math.min(this.#step, step);
    for (const [name, series] of this.#series)
      this.#series.set(
        name,
        where(series, (at) => at <= step),
      );
  }

  get(name) {
    return this.#series.get(name);
  }

  // New points become as wide as the others, so that a curve looks the same at its end.
  #extend(name, series) {
    const known = this.#series.get(name) || emptied(series);
    const whole = joined(known, series);
    const width = this.#widths.get(name) || 1;
    const end = Math.max(0, known.step.length - 1);
    const grown = merged(whole, width, end);
    const tooMany = grown.step.length > MOST;
    this.#series.set(name, tooMany ? merged(grown, 2 * width, 0) : grown);
    if (tooMany) this.#widths.set(name, 2 * width);
  }
}

function joined(known, more) {
  const newest = known.step.at(-1) ?? 0;
  const fresh = where(more, (step) => step > newest);
  return mapped(known, (values, key) => values.concat(fresh[key]));
}

function where(series, wanted) {
  const keep = series.step.map(wanted);
  return keep.every(Boolean)
    ? series
    : mapped(series, (values) => values.filter((_, i) => keep[i]));
}

// Neighbours from index `begin` on become one point, of at most `width` outer steps.
function merged(series, width, begin) {
  const result = mapped(series, (values) => values.slice(0, begin));
  let low = series.step[begin - 1] ?? 0; // where the present point begins
  for (let i = begin; i < series.step.length; i++) {
    const last = result.step.length - 1;
    if (last < begin || series.step[i] - low > width) {
      low = series.step[i - 1] ?? 0;
      for (const [key, values] of Object.entries(series)) result[key].push(values[i]);
      continue;
    }
    const sizes = [result.step[last] - low, series.step[i] - result.step[last]];
    result.mean[last] = weighted([result.mean[last], series.mean[i]], sizes);
    result.min[last] = extreme(Math.min, result.min[last], series.min[i]);
    result.max[last] = extreme(Math.max, result.max[last], series.max[i]);
    result.step[last] = series.step[i];
    result.seconds[last] = series.seconds[i];
  }
  return result;
}

function widthOf({ step }) {
  return step.length > 1 ? Math.max(1, Math.round((step.at(-1) - step[0]) / (step.length - 1))) : 1;
}

function emptied(series) {
  return mapped(series, () => []);
}

function weighted(values, weights) {
  let sum = 0,
    total = 0;
  values.forEach((value, i) => {
    if (value === null) return;
    sum += weights[i] * value;
    total += weights[i];
  });
  return total > 0 ? sum / total : null;
}

function extreme(choose, ...values) {
  const known = values.filter((value) => value !== null);
  return known.length ? choose(...known) : null;
}

function mapped(series, change) {
  return Object.fromEntries(
    Object.entries(series).map(([key, values]) => [key, change(values, key)]),
  );
}
