// What is known of a person beyond the behaviours that are remembered one by one: older interests, when they come, and
// what lists have earned.
import { share } from "./bars.js";
import { h } from "./dom.js";
import { pageUrl } from "./frame.js";
import { count, fix, moment, percent, shortDay, t, zh } from "./language.js";

const QUARTERS = ["0–6", "6–12", "12–18", "18–24"];
const DAYS = zh ? ["一", "二", "三", "四", "五", "六", "日"] : ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];

const item = (id, title) =>
  h("a", { href: pageUrl("item", { item: id }), dir: "auto", class: "quiet cut" }, title || id);

export function older(person) {
  if (!person.older.length) return null;
  const most = Math.max(...person.older.map((each) => Math.abs(each.weight)), 1e-9);
  return h(
    "section",
    { "class": "card", "aria-labelledby": "old-h" },
    h("header", null, h("h2", { id: "old-h" }, t("older"))),
    h("p", { class: "small dim pad-x" }, t("older.p")),
    h(
      "ul",
      { class: "rows" },
      person.older
        .slice(0, 8)
        .map((each) =>
          h(
            "li",
            null,
            item(each.item_id, each.title),
            share(Math.abs(each.weight) / most, "var(--p-interest)"),
            h(
              "span",
              { class: "num dim tiny", title: shortDay(each.last_time) },
              t("older.n", { n: count(each.count) }),
            ),
          ),
        ),
    ),
  );
}

const columns = (shares, names, label) => {
  const most = Math.max(...shares, 1e-9);
  const told = shares.map((each, i) => `${names[i]} ${percent(each, 0)}`).join(", ");
  return h(
    "div",
    { "class": "columns", "role": "img", "aria-label": `${label}: ${told}` },
    shares.map((each, i) =>
      h(
        "span",
        { title: percent(each, 0) },
        h("i", { style: { height: `${Math.max(2, (each / most) * 40).toFixed(0)}px` } }),
        h("b", null, names[i]),
      ),
    ),
  );
};

export function habits(person) {
  if (!person.hours.length && !person.weekdays.length) return null;
  return h(
    "section",
    { "class": "card", "aria-labelledby": "hab-h" },
    h("header", null, h("h2", { id: "hab-h" }, t("habits"))),
    h("p", { class: "small dim pad-x" }, t("habits.p")),
    h(
      "div",
      { class: "habits" },
      person.hours.length ? columns(person.hours, QUARTERS, t("habits.hours")) : null,
      person.weekdays.length ? columns(person.weekdays, DAYS, t("habits.days")) : null,
    ),
  );
}

export function earned(person) {
  if (!person.earned?.length) return null;
  return h(
    "section",
    { "class": "card", "aria-labelledby": "earn-h" },
    h("header", null, h("h2", { id: "earn-h" }, t("earned"))),
    h("p", { class: "small dim pad-x" }, t("earned.p")),
    h(
      "ul",
      { class: "rows earned" },
      person.earned
        .slice(0, 12)
        .map((each) =>
          h(
            "li",
            null,
            h(
              "span",
              null,
              h("span", { class: "verb" }, t(`a.${each.action}`)),
              " ",
              item(each.item_id, each.title),
              h("br"),
              h(
                "span",
                { class: "tiny dim" },
                t("earned.at", { rank: count(each.rank), when: moment(each.event_time) }),
                " · ",
                t(`s.${each.strategy}`),
              ),
            ),
            h("span", { class: "num", title: each.recommendation_id }, fix(each.credit, 2)),
          ),
        ),
    ),
  );
}
