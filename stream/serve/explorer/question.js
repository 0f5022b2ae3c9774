// What is assumed: behaviours struck out, clicks added, a moment, weights. A value, and how it is written: as the body
// of POST what-if, in the address of the page, and as a command line.
import { word } from "./copying.js";

// `at`: { ms, step } with the step of the dial, null: now. `with`: [{ id, title }].
export const nothing = () => ({ without: new Set(), with: [], weights: {}, at: null });

export const isAsIf = (q) => q.without.size > 0 || q.with.length > 0 || q.at !== null || isWeighted(q);
export const isWeighted = (q) => Object.values(q.weights).some((times) => times !== 1);

const changed = (weights) => Object.fromEntries(Object.entries(weights).filter(([, times]) => times !== 1));

export const bodyOf = (q, n) => ({
  without: [...q.without],
  with: q.with.map((item) => item.id),
  weights: changed(q.weights),
  n,
  ...(q.at === null ? {} : { at: q.at.ms }),
});

export function toAddress(q, user) {
  const query = new URLSearchParams({ user });
  q.without.forEach((key) => query.append("without", key));
  q.with.forEach((item) => query.append("with", item.id));
  if (q.at) query.set("at", q.at.ms);
  Object.entries(changed(q.weights)).forEach(([part, times]) => query.set(`w.${part}`, times));
  return query;
}

export function fromAddress(query) {
  const q = nothing();
  query.getAll("without").forEach((key) => q.without.add(key));
  query.getAll("with").forEach((id) => q.with.push({ id, title: id }));
  if (/^\d{1,15}$/.test(query.get("at") ?? "")) q.at = { ms: Number(query.get("at")), step: null };
  for (const [name, value] of query) {
    const times = Number(value);
    if (name.startsWith("w.") && times >= 0 && times <= 10) q.weights[name.slice(2)] = times;
  }
  return q;
}

// The same question in a terminal. `penchant explain` strikes out all about an item; single behaviours of several,
// times and weights only the interface takes, so that it is asked by curl then.
export function commandOf(q, user, item, behaviours) {
  const items = struckItems(q, behaviours);
  if (q.at !== null || isWeighted(q) || items === null) {
    const url = new URL(`../v1/users/${encodeURIComponent(user)}/what-if`, import.meta.url);
    return `curl ${word(url.href)} --json ${word(JSON.stringify(bodyOf(q, 20)))}`;
  }
  const without = items.map((id) => ` --without ${word(id)}`).join("");
  const added = q.with.map(({ id }) => ` --with ${word(id)}`).join("");
  return `penchant explain ${word(user)} ${word(item)}${without}${added} --texts`;
}

// The items of which everything is struck out; null: of some there is more.
function struckItems(q, behaviours) {
  const keys = new Map(behaviours.map((each) => [each.key, each.item_id]));
  const items = new Set([...q.without].map((name) => keys.get(name) ?? name));
  const left = behaviours.some(
    (each) => items.has(each.item_id) && !q.without.has(each.key) && !q.without.has(each.item_id),
  );
  return left ? null : [...items];
}
