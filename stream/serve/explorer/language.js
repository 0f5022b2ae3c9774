// The words of the frame in the language of the page, and numbers and times as that language writes them.
// Sentences that give reasons are not made here: they come from the server.
import deck from "./copy.js";
import { fill } from "./dom.js";

export const zh = document.documentElement.lang.startsWith("zh");
export const lang = zh ? "zh" : "en";
const locale = zh ? "zh-CN" : "en-GB";
const THIN = "\u00a0";

// A text of the copy deck with values in it; `words` gives nodes, for values that are elements.
// One of something has a text of its own where the language wants one: `key.1`.
export const t = (key, values = {}) =>
  (deck[`${values.n}` === "1" && `${key}.1` in deck ? `${key}.1` : key]?.[zh ? 1 : 0] ?? key).replace(
    /\{(\w+)\}/g,
    (_, name) => values[name] ?? "",
  );
export const words = (key, values = {}) => fill(deck[key]?.[zh ? 1 : 0] ?? key, values);
// A text that the server gives in several languages.
export const said = (texts) => texts?.[lang] ?? texts?.en ?? "";
export const quoted = (text) => `“${text}”`;
export const comma = zh ? "、" : ", ";
export const stop = zh ? "。" : ". ";

const format = (options) => new Intl.NumberFormat(locale, options);
const whole = format({ maximumFractionDigits: 0 });
const fixed = Array.from({ length: 7 }, (_, digits) =>
  format({ minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

export const count = (value) => whole.format(value);
export const fix = (value, digits) => fixed[digits].format(value).replace("-", "−");
export const signed = (value, digits = 2) =>
  Math.abs(value) < 0.5 * 10 ** -digits ? fix(0, digits) : (value < 0 ? "−" : "+") + fix(Math.abs(value), digits);
export const percent = (share, digits = 1) => fix(share * 100, digits) + (zh ? "%" : `${THIN}%`);

// A duration, as coarse as one would say it.
export function duration(ms) {
  const unit = (value, digits, en, cn) => {
    const exact = digits === 0 || Math.abs(value - Math.round(value)) < 0.05;
    return `${fix(value, exact ? 0 : digits)}${THIN}${zh ? cn : en}`;
  };
  if (ms < 1000) return unit(ms, 0, "ms", "毫秒");
  if (ms < 60_000) return unit(ms / 1000, ms < 10_000 ? 1 : 0, "s", "秒");
  if (ms < 3_600_000) return unit(ms / 60_000, ms < 600_000 ? 1 : 0, "min", "分钟");
  if (ms < 172_800_000) return unit(ms / 3_600_000, 0, "h", "小时");
  return unit(ms / 86_400_000, 0, "days", "天");
}

const date = (options) => {
  const made = new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...options });
  return (ms) => made.format(ms);
};
// Times are UTC, as events have them.
export const weekday = date({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
export const day = date({ day: "numeric", month: "long", year: "numeric" });
export const shortDay = date({ day: "numeric", month: "short" });
export const clock = date({ hour: "2-digit", minute: "2-digit", hour12: false });
export const seconds = date({ hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
export const moment = (ms) => `${shortDay(ms)} ${clock(ms)}`;
