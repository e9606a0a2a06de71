// Formats numbers and dates with the same text as the filters in console/templatetags/ui.py.
const language = document.documentElement.lang || undefined;
const UNKNOWN = "—";

const number = (value, digits) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export const isKnown = (value) => value !== null && value !== undefined && value !== "";

/** A whole number with thousands separators: `12,345`. */
export const count = (value) => (isKnown(value) ? number(value, 0) : UNKNOWN);

const UNITS = [[1e9, "G"], [1e6, "M"], [1e4, "k"]];

/** A count of tokens, shortened: `991`, `18.4k`, `2.1M`. */
export function tokens(value) {
  if (!isKnown(value)) return UNKNOWN;
  for (const [limit, unit] of UNITS) {
    if (value < (unit === "k" ? limit : limit * 0.9995)) continue;
    const short = value / (unit === "k" ? 1000 : limit);
    return number(short, short >= 99.95 ? 0 : 1) + unit;
  }
  return count(value);
}

/** A round count of tokens on an axis: `50k` beside `100k`. */
export const roundTokens = (value) => tokens(value).replace(/\.0(?=[kMG])/, "");

/** Milliseconds, as seconds from 0.1 s on: `24 ms`, `0.71 s`, `3 min 4 s`, `2 h 5 min`. */
export function ms(value) {
  if (!isKnown(value)) return UNKNOWN;
  if (value < 99.5) return `${number(value, value >= 9.95 ? 0 : 1)} ms`;
  const seconds = value / 1000;
  if (seconds < 99.95) return `${number(seconds, seconds < 9.995 ? 2 : 1)} s`;
  const wholeSeconds = Math.round(seconds);
  const minutes = Math.floor(wholeSeconds / 60);
  if (minutes < 60) return `${minutes} min ${wholeSeconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** US dollars: two decimals from $0.10 on, otherwise two significant digits. */
export function usd(value) {
  if (!isKnown(value)) return UNKNOWN;
  const amount = Math.abs(value);
  if (amount === 0) return "$0";
  const sign = value < 0 ? "-" : "";
  const digits = amount >= 0.1 ? 2 : Math.min(8, 1 - Number(amount.toExponential().split("e")[1]));
  return `${sign}$${number(amount, digits)}`;
}

/** A price in US dollars, to the last digit and with cents at least: `$0.125`, `$3.00`. */
export function price(value) {
  if (!isKnown(value)) return UNKNOWN;
  return `$${new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 8 }).format(value)}`;
}

/** A share from 0 to 1 as a percentage: `3.4 %`, `97 %`. */
export function percent(value) {
  if (!isKnown(value)) return UNKNOWN;
  return `${number(value * 100, value > 0 && value < 0.1 ? 1 : 0)} %`;
}

/** Day and time to the minute, in the browser's time zone: `22 Nov 2026, 14:05`. */
export function dateTime(value) {
  const date = new Date(value);
  const month = new Intl.DateTimeFormat("en", { month: "short" }).format(date);
  const clock = [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
  return `${date.getDate()} ${month} ${date.getFullYear()}, ${clock}`;
}

/** Estimated number of tokens of a text, from its length. */
export const tokensOf = (text) => Math.ceil((text ?? "").length / 4);
