// Numbers as people of the page's language write them, with their units.
export const language = document.documentElement.lang || undefined;
const number = (digits) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const whole = number(0);
const short = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });

export const known = (value) => value !== null && value !== undefined && value !== "";
export const count = (value) => (known(value) ? whole.format(value) : "–");
export const compact = (value) => (value < 10000 ? count(value) : short.format(value));

/** Milliseconds as seconds: two digits below ten seconds, one above. */
export function seconds(ms) {
  if (!known(ms)) return "–";
  return number(ms < 9995 ? 2 : 1).format(ms / 1000);
}

/** Dollars with as many digits as a small price needs. */
export function usd(value) {
  if (!known(value)) return "–";
  const amount = Number(value);
  if (amount === 0) return "$0";
  if (amount < 0.00005) return "<$0.0001";
  return "$" + number(amount < 0.1 ? 4 : amount < 10 ? 3 : 2).format(amount);
}

/** About this much: one significant digit is all an estimate deserves. */
export const roughly = (value) =>
  value === 0 ? "$0" : value < 0.0001 ? "<$0.0001" : "$" + Number(value.toPrecision(1));

/** Tokens of a text, by its length: good enough before a run. */
export const tokensOf = (text) => Math.ceil((text ?? "").length / 4);
