// Numbers, times and the like as people read them.

const MINUS = "\u2212";
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const RAISED = { "-": "\u207b", 0: "\u2070", 1: "\u00b9", 2: "\u00b2", 3: "\u00b3", 4: "\u2074", 5: "\u2075", 6: "\u2076", 7: "\u2077", 8: "\u2078", 9: "\u2079" };

export const NONE = "\u2013";

const raised = (exponent) => [...String(exponent)].map((c) => RAISED[c]).join("");

/** A number with at most `digits` significant ones; powers of ten where zeros would have to be counted. */
export function number(value, digits = 5) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (typeof value === "bigint") return String(value).replace("-", MINUS);
  if (!Number.isFinite(value)) return value > 0 ? "\u221e" : MINUS + "\u221e";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e7 || size < 1e-4) {
    const [mantissa, exponent] = size.toExponential(digits - 1).split("e");
    const shown = String(Number(mantissa));
    const power = "10" + raised(Number(exponent));
    return (value < 0 ? MINUS : "") + (shown === "1" ? power : `${shown}\u00d7${power}`);
  }
  const shown = Number.isInteger(value) ? size : Number(size.toPrecision(digits));
  return (value < 0 ? MINUS : "") + shown.toLocaleString("en", { maximumFractionDigits: 12, useGrouping: shown >= 10000 });
}

/** For an axis, where room is short: powers of ten already from 100 000 on. */
export function tick(value) {
  if (Math.abs(value) < 1e5) return number(value, 3);
  const [mantissa, exponent] = Math.abs(value).toExponential(2).split("e");
  const shown = String(Number(mantissa));
  return (value < 0 ? MINUS : "") + (shown === "1" ? "" : `${shown}\u00d7`) + "10" + raised(Number(exponent));
}

/** For an answer that is going to be used: all digits but the last, which is where 0.1 + 0.2 is no longer 0.3. */
export function exact(value) {
  if (typeof value !== "number" || Math.abs(value) >= 1e15 || (value !== 0 && Math.abs(value) < 1e-4)) return number(value, 15);
  return String(Number(value.toPrecision(15))).replace("-", MINUS);
}

/** R2, where what is missing to 1 says more than nines do. */
export function r2(value) {
  if (typeof value !== "number") return NONE;
  const missing = 1 - value;
  if (missing > 0 && missing < 5e-7) return `1 ${MINUS} ${number(missing, 2)}`;
  return value < -99 ? number(value, 3) : value.toFixed(6).replace("-", MINUS).replace(/(\.\d\d\d*?)0+$/, "$1");
}

export const count = (value) => (typeof value === "number" ? WHOLE.format(value) : NONE);
export const short = (value) => (typeof value === "number" ? (value < 1000 ? WHOLE.format(value) : SHORT.format(value)) : NONE);
export const plural = (amount, one, many = one + "s") => `${count(amount)} ${amount === 1 ? one : many}`;
export const percent = (value) => (typeof value === "number" ? `${value >= 0.0995 ? Math.round(value * 100) : (value * 100).toFixed(1)}\u202f%` : NONE);

export function seconds(value) {
  if (typeof value !== "number") return NONE;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 90) return `${Math.round(value)} s`;
  const minutes = Math.floor(value / 60);
  return minutes < 90 ? `${minutes} min ${Math.round(value % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(value) {
  if (typeof value !== "number") return NONE;
  if (value < 1000) return `${value} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** The time of an ISO 8601 text where the reader is: the hour today, the day as well before. */
export function when(text) {
  const time = new Date(text ?? NaN);
  if (Number.isNaN(time.getTime())) return NONE;
  const today = DAY.format(time) === DAY.format(new Date());
  return today ? `today, ${CLOCK.format(time)}` : `${DAY.format(time)}, ${CLOCK.format(time)}`;
}
