// Axes: which numbers stand at the edge of a picture, and where a value lies in it.

const STEPS = [1, 2, 2.5, 5, 10];

export function linearTicks(low, high, about = 5) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(span / about));
  const step = power * STEPS.find((s) => span / (s * power) <= about);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

export function logTicks(low, high, about = 5) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) return linearTicks(low, high, 3).filter((tick) => tick > 0);
  const step = Math.max(1, Math.ceil((last - first) / about));
  const ticks = [];
  for (let exponent = first; exponent <= last; exponent += step) ticks.push(10 ** exponent);
  return ticks;
}

/** A scale from the values to `[from, to]` pixels, a little wider than the values. */
export function scaleOf(values, [from, to], { log = false, about = 5, include = [] } = {}) {
  const all = [...values, ...include].filter((v) => Number.isFinite(v) && (!log || v > 0));
  let low = Math.min(...all);
  let high = Math.max(...all);
  if (!all.length) [low, high] = log ? [0.1, 1] : [0, 1];
  const turn = log ? Math.log10 : (v) => v;
  const back = log ? (v) => 10 ** v : (v) => v;
  let [a, b] = [turn(low), turn(high)];
  const margin = b > a ? (b - a) * 0.06 : log ? 0.5 : Math.abs(a) * 0.1 || 1;
  [a, b] = [a - margin, b + margin];
  const place = (value) => from + ((turn(value) - a) / (b - a)) * (to - from);
  const ticks = (log ? logTicks : linearTicks)(back(a), back(b), about).map((value) => ({ value, at: place(value) }));
  return { place, ticks, low: back(a), high: back(b) };
}
