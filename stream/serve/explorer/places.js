// The list: a row per place with its sentence, a bar per part on one scale, and, opened, the score taken apart.
import { colour, inOrder, mini, partName, scale, stacked } from "./bars.js";
import { command } from "./copying.js";
import { calm, foreign, h } from "./dom.js";
import { pageUrl } from "./frame.js";
import { clock, comma, count, fix, percent, quoted, said, shortDay, signed, t, words } from "./language.js";

const NEAR = 0.04; // chances closer than this are told as close
const SHARED_BY = 3; // a sentence that so many places have is said once
const SMALL = 5e-4;
const MOVE = { duration: 320, easing: "cubic-bezier(.2,.8,.2,1)" };

// A sentence with what is quoted in it darker; no breaks between a number and what it counts.
export function sentence(text) {
  const bits = text.replace(/(\d+) (day|week|month|year)/g, "$1\u00a0$2").split(/(“[^”]*”)/);
  return bits.map((bit) => (bit.startsWith("“") ? h("b", { dir: "auto" }, bit) : bit));
}

// The sentence that most of these places share, if enough of them do.
export function sharedSentence(items) {
  const times = new Map();
  for (const item of items) times.set(said(item.reason), (times.get(said(item.reason)) ?? 0) + 1);
  times.delete("");
  const [text, n] = [...times].sort((a, b) => b[1] - a[1])[0] ?? ["", 0];
  return n >= SHARED_BY ? { text, n, all: n === items.length } : null;
}

function moved(before, rank) {
  if (before === rank) return null;
  const [text, kind] =
    before === undefined
      ? [`✦ ${t("new")}`, "new"]
      : before > rank
        ? [`▲ ${t("up", { n: before - rank })}`, "up"]
        : [`▼ ${t("down", { n: rank - before })}`, "down"];
  return h("span", { class: `delta ${kind}` }, text);
}

const tags = (item) => [
  item.promoted && h("span", { class: "tag warn" }, t("promoted")),
  item.moved_by && h("span", { class: "tag" }, t("moved.by", { what: item.moved_by.replace(":", " ") })),
  item.strategy === "explore" && h("span", { class: "tag" }, t("s.explore")),
];

// One place. `view`: { by, before, shared, open, weighted, taken (the answer of why), ... }; see `drawPlaces`.
function place(item, next, view) {
  const open = view.open === item.item_id,
    text = said(item.reason);
  const delta = view.before ? moved(view.before.get(item.item_id), item.rank) : null;
  const near = next && item.probability - next.probability < NEAR * item.probability;
  const repeated = view.shared && text === view.shared.text;
  const body = [
    h("span", { class: "rank" }, count(item.rank)),
    h(
      "span",
      { class: "claim" },
      foreign(item.title || item.item_id, { class: "title" }, "span"),
      " ",
      delta,
      " ",
      tags(item),
      text
        && !(repeated && view.shared.all)
        && h("span", { class: repeated ? "why again" : "why" }, repeated ? t("why.shared") : sentence(text)),
    ),
    h(
      "span",
      { class: "meter" },
      stacked(item.parts, view.by, item.score),
      h(
        "span",
        { class: "val" },
        h("span", { class: "score" }, fix(item.score, 2)),
        !view.weighted
          && h(
            "small",
            { title: t("chance.long", { p: percent(item.probability) }) },
            near ? "≈ " : "",
            percent(item.probability),
          ),
      ),
    ),
  ];
  return h(
    "li",
    { class: `place${delta ? " moved" : ""}`, data: { key: item.item_id } },
    h("button", { "aria-expanded": String(open), "data": { part: "open" } }, body),
    open && apart(item, view),
  );
}

const line = (name, value, by, c, cls = "") =>
  h(
    "div",
    { class: `line ${cls}` },
    h("span", { class: "name" }, name),
    mini(value, by, c),
    h("span", { class: "num" }, signed(value, 3)),
  );

const within = (values) => scale(Math.min(0, ...values), Math.max(SMALL, ...values));

// The score taken apart: by part, by behaviour, what it hangs on, and the command that says the same.
function apart(item, view) {
  const parts = inOrder(item.parts).filter((part) => Math.abs(item.parts[part]) > SMALL);
  const by = within(parts.map((part) => item.parts[part]));
  const causes = (item.causes ?? []).filter((cause) => Math.abs(cause.contribution) > SMALL);
  const others = item.others ?? 0,
    causeBy = within([...causes.map((c) => c.contribution), others]);
  const acts = causes.map((cause) =>
    line(
      [
        h("span", { class: "soft nowrap" }, t(`a.${cause.action}`)),
        foreign(
          cause.title || cause.item_id,
          { title: `${shortDay(cause.event_time)} ${clock(cause.event_time)}` },
          "span",
        ),
      ],
      cause.contribution,
      causeBy,
      "var(--p-co_occurrence)",
    ),
  );
  const off = item.score - Object.values(item.parts).reduce((sum, value) => sum + value, 0);
  return h(
    "div",
    { class: "exact" },
    h(
      "div",
      null,
      h("h3", null, t("why.parts")),
      h(
        "div",
        { class: "lines" },
        parts.map((part) =>
          line(
            [h("i", { class: "sw", style: { "--c": colour(part) } }), h("span", null, partName(part))],
            item.parts[part],
            by,
            colour(part),
          ),
        ),
        h(
          "div",
          { class: "line sum" },
          h("span", null, t("why.sum")),
          h("span"),
          h("span", { class: "num" }, fix(item.score, 3)),
        ),
      ),
    ),
    h(
      "div",
      null,
      h("h3", null, words("why.acts", { who: foreign(view.user) })),
      h(
        "div",
        { class: "lines" },
        acts.length ? acts : h("p", { class: "dim" }, t("why.none")),
        Math.abs(others) > SMALL && line(h("span", null, t("why.others")), others, causeBy, "var(--line-2)", "dim"),
      ),
    ),
    hangs(item, view),
    features(item, view),
    h(
      "p",
      { class: "small dim" },
      t("why.exact", { r: Math.abs(off) < 1e-12 ? "0" : off.toExponential(0).replace("-", "−") }),
      acts.length ? ` ${t("why.exact.split", { a: partName("co_occurrence"), b: partName("interest") })}` : "",
    ),
    h("p", { class: "small wide" }, h("a", { href: pageUrl("item", { item: item.item_id }) }, t("item.open"))),
    h("div", { class: "wide" }, command(view.command(item.item_id))),
  );
}

function hangs(item, view) {
  const found = view.taken?.get(item.item_id)?.counterfactual ?? (item.rank === 1 ? view.counterfactual : null);
  if (view.asIf || !found?.replacement) return null;
  const what = found.removed.map((id) => quoted(view.name(id))).join(comma);
  return h(
    "p",
    { class: "proof wide" },
    words("why.hangs", { what: foreign(what), instead: foreign(view.name(found.replacement)) }),
    " ",
    found.exact ? t("why.hangs.ok") : "",
  );
}

// What each feature adds: exact, but for who knows what they are; folded.
function features(item, view) {
  const all = Object.entries(view.taken?.get(item.item_id)?.features ?? {}).filter(([, v]) => Math.abs(v) > SMALL);
  if (view.asIf || !all.length) return null;
  const by = within(all.map(([, value]) => value));
  return h(
    "details",
    { class: "wide" },
    h("summary", null, t("why.features")),
    h(
      "div",
      { class: "lines features" },
      all.map(([name, value]) => line(h("code", null, name), value, by, "var(--ink-2)")),
    ),
  );
}

// Where each row was, and after redrawing: how it gets from there to where it is.
export function remembering(list) {
  const from = new Map([...list.children].map((row) => [row.dataset.key, row.getBoundingClientRect().top]));
  return () => {
    if (calm() || from.size === 0) return;
    for (const row of list.children) {
      const old = from.get(row.dataset.key),
        by = old === undefined ? 0 : old - row.getBoundingClientRect().top;
      if (old === undefined)
        row.animate(
          [
            { opacity: 0, transform: "translateX(12px)" },
            { opacity: 1, transform: "none" },
          ],
          MOVE,
        );
      else if (Math.abs(by) > 1) row.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], MOVE);
    }
  };
}

export const places = (items, view) => items.map((item, i) => place(item, items[i + 1], view));

// The parts that the list uses, by name.
export const legend = (items) => {
  const used = {};
  for (const item of items)
    for (const [part, v] of Object.entries(item.parts)) if (Math.abs(v) > 0.005) used[part] = 1;
  return inOrder(used).map((part) => h("span", null, h("i", { style: { "--c": colour(part) } }), partName(part)));
};

// Who left the places that are shown.
export const gone = (before, after, shown) => {
  const now = new Set(after.slice(0, shown).map((item) => item.item_id));
  return before.slice(0, shown).filter((item) => !now.has(item.item_id));
};
