// Exponential means, as TensorBoard has them, in the scale that is displayed.

// Each value becomes the mean of those until then, of weight `weight` to the power of their age;
// null stays a gap. Logarithmic means are taken of logarithms.
export function smoothed(values, weight, log) {
  if (weight <= 0) return values;
  const [there, back] = log ? [Math.log, Math.exp] : [(v) => v, (v) => v];
  let sum = 0,
    total = 0;
  return values.map((value) => {
    if (value === null || (log && value <= 0)) return null;
    sum = weight * sum + (1 - weight) * there(value);
    total = weight * total + (1 - weight);
    return back(sum / total);
  });
}
