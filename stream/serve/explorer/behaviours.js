// What they did, the newest first: each can be struck out, and shows its share in the place that is pointed at.
import { foreign, h } from "./dom.js";
import { icon } from "./icons.js";
import { quoted, t, weekday } from "./language.js";
import { pageUrl } from "./frame.js";

export const addedKey = (id) => `with:${id}`;

function row({ key, action, name, itemId, cls, button }) {
  const what = h(
    "span",
    { class: "what" },
    h("span", { class: "verb" }, t(`a.${action}`)),
    " ",
    itemId ? h("a", { href: pageUrl("item", { item: itemId }), dir: "auto", class: "quiet" }, name) : foreign(name),
  );
  return h(
    "div",
    { class: `did ${cls}`, data: { key } },
    icon(action),
    what,
    h("span", { class: "share num" }),
    button,
  );
}

const strike = (behaviour, out, toggle) => {
  const what = `${t(`a.${behaviour.action}`)} ${quoted(behaviour.title || behaviour.item_id)}`;
  const label = t("strike", { what });
  return h(
    "button",
    {
      "class": "ghost",
      "aria-pressed": String(out),
      "aria-label": label,
      "title": label,
      "data": { part: "strike" },
      "onclick": () => toggle(behaviour.key),
    },
    icon(out ? "back" : "x"),
  );
};

// `question`: what is assumed; `until`: event time after which nothing had happened yet, or null.
export function behaviourRows(behaviours, question, { toggle, drop }) {
  const rows = question.with.map(({ id, title }) => {
    const label = t("drop", { what: quoted(title) });
    return row({
      key: addedKey(id),
      action: "click",
      name: title,
      cls: "added",
      button: h(
        "button",
        {
          "class": "ghost",
          "aria-label": label,
          "title": label,
          "data": { part: "strike" },
          "onclick": () => drop(id),
        },
        icon("x"),
      ),
    });
  });
  if (rows.length) rows.unshift(h("p", { class: "day asif-ink" }, t("asif.group")));
  const until = question.at?.ms ?? Infinity;
  let last = "";
  for (const each of behaviours.toReversed()) {
    const day = weekday(each.event_time);
    if (day !== last) rows.push(h("p", { class: "day" }, (last = day)));
    const out = question.without.has(each.key) || question.without.has(each.item_id);
    rows.push(
      row({
        key: each.key,
        action: each.action,
        name: each.title || each.item_id,
        itemId: each.in_catalogue ? each.item_id : null,
        cls: `${out ? "out" : ""} ${each.event_time > until ? "later" : ""}`,
        button: strike(each, out, toggle),
      }),
    );
  }
  return rows;
}
