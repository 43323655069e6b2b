// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (number) => whole.format(number);
export const short = (number) => compact.format(number);

export function limit(number) {
  return number === null || number === undefined ? "no limit" : whole.format(number);
}

// Unix seconds to "2026-11-26 09:41 UTC".
export function moment(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

export function hourAndMinute(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 16);
}

export function day(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

export function percent(part, all) {
  return all > 0 ? `${Math.round((100 * part) / all)} %` : "–";
}

export function money(value, currency) {
  return new Intl.NumberFormat("en", {
    style: "currency", currency: currency.toUpperCase(), maximumFractionDigits: 4,
  }).format(value);
}
