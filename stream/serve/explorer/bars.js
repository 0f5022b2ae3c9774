// Bars around one zero line. One scale for all bars that are compared: where zero is, and what a unit is, in per cent.
import { h, s } from "./dom.js";
import { signed, t } from "./language.js";

const PARTS = ["co_occurrence", "interest", "sequence", "context", "trend", "popularity", "age", "rules"];

// The token of a part; one that is not known yet is grey.
export const colour = (part) => `var(--p-${PARTS.includes(part) ? part : "other"})`;
export const partName = (part) => {
  const named = t(`p.${part}`);
  return named === `p.${part}` ? part.replaceAll("_", " ") : named;
};
// In the order of the legend, whatever order they came in.
export const inOrder = (parts) => [
  ...PARTS.filter((part) => part in parts),
  ...Object.keys(parts).filter((part) => !PARTS.includes(part)),
];

export function scale(low, high) {
  const span = high - low || 1;
  return { zero: (-low / span) * 100, unit: 100 / span, at: (value) => ((value - low) / span) * 100 };
}

// The scale that holds all of these sums of parts.
export function scaleOf(sums) {
  let low = 0,
    high = 0;
  for (const parts of sums) {
    let left = 0,
      right = 0;
    for (const value of Object.values(parts)) value > 0 ? (right += value) : (left += value);
    low = Math.min(low, left);
    high = Math.max(high, right);
  }
  return scale(low * 1.02, high * 1.02);
}

const at = (left, width, more) => ({ left: `${left.toFixed(3)}%`, width: `${width.toFixed(3)}%`, ...more });

// A bar per part, what lowers to the left of zero, what raises to the right; the tick is the sum.
export function stacked(parts, by, score) {
  let right = 0,
    left = 0;
  const names = inOrder(parts).filter((part) => parts[part] !== 0);
  const last = names.filter((part) => parts[part] > 0).at(-1);
  const bits = names.map((part) => {
    const value = parts[part],
      width = Math.abs(value) * by.unit;
    const begin = value > 0 ? by.zero + right : by.zero - left - width;
    value > 0 ? (right += width) : (left += width);
    const kind = value < 0 ? "neg" : part === last ? "lastpos" : null;
    return h("i", { class: kind, data: { part }, style: at(begin, width, { "--c": colour(part) }) });
  });
  const told = names.map((part) => `${partName(part)} ${signed(parts[part])}`).join(", ");
  return h(
    "span",
    {
      "class": "bar",
      "role": "img",
      "aria-label": told || t("score"),
      "style": { "--zero-at": `${by.zero.toFixed(2)}%` },
    },
    bits,
    h("u", { style: { left: `${by.at(score).toFixed(2)}%` } }),
  );
}

export function mini(value, by, c) {
  const width = Math.max(Math.abs(value) * by.unit, 0.8),
    begin = value < 0 ? by.zero - width : by.zero;
  return h(
    "span",
    { "class": "mini", "aria-hidden": "true", "style": { "--zero-at": `${by.zero.toFixed(1)}%` } },
    h("i", { class: value < 0 ? "neg" : null, style: at(begin, width, { "--c": c }) }),
  );
}

// How much of the whole, from the left.
export const share = (of, c = "var(--ink)") =>
  h(
    "div",
    { "class": "hbar", "aria-hidden": "true" },
    h("i", { style: { "width": `${Math.min(100, of * 100).toFixed(1)}%`, "--c": c } }),
  );

// An interval and its middle.
export const whisker = (low, middle, high, by, c = "var(--ink)") =>
  h(
    "div",
    { "class": "whisk", "aria-hidden": "true", "style": { "--zero-at": `${by.zero}%`, "--c": c } },
    h("i", { style: at(by.at(low), by.at(high) - by.at(low)) }),
    h("b", { style: { left: `${by.at(middle)}%` } }),
  );

export function spark(values) {
  const high = Math.max(...values, 1e-9),
    wide = Math.max(values.length - 1, 1);
  const line = values
    .map((v, i) => `${((i / wide) * 100).toFixed(1)} ${(38 - (v / high) * 35).toFixed(1)}`)
    .join("L");
  return s(
    "svg",
    { "class": "spark", "viewBox": "0 0 100 40", "preserveAspectRatio": "none", "aria-hidden": "true" },
    s("path", { class: "area", d: `M0 40L${line}L100 40z` }),
    s("path", { d: `M${line}` }),
  );
}

// Wilson's interval of k of n, 95 %.
export function wilson(k, n, z = 1.96) {
  const p = k / n,
    centre = (p + (z * z) / 2 / n) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / 4 / n / n);
  return [Math.max(0, centre - half), p, Math.min(1, centre + half)];
}
