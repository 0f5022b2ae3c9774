// The yellow bar: what is assumed, what it changed, in two steps (time alone, then the change), and the way back.
import { h } from "./dom.js";
import { isWeighted } from "./question.js";
import { comma, count, duration, quoted, stop, t, zh } from "./language.js";

const SPACE = zh ? "" : " ";
const cut = (text) => (text.length > 80 ? `${text.slice(0, 79)}…` : text);

// What is assumed, one phrase each.
export function assumptions(question, behaviours, told) {
  const named = (key) => {
    const one = behaviours.find((each) => each.key === key);
    const of = one ?? behaviours.find((each) => each.item_id === key);
    const name = quoted(cut(of?.title || of?.item_id || key));
    return one ? t("asif.did", { what: name, action: t(`a.${one.action}`) }) : name;
  };
  return [
    ...[...question.without].map((key) => t("asif.without", { what: named(key) })),
    ...question.with.map(({ title }) => t("asif.with", { what: quoted(cut(title)) })),
    ...(question.at ? [told(question.at)] : []),
    ...(isWeighted(question) ? [t("asif.w")] : []),
  ];
}

// Conditions that choose the person's weights, in words; "always" says nothing.
export const gateNames = (gates) =>
  (gates ?? [])
    .filter((gate) => gate !== "always")
    .map((gate) => {
      const named = t(`g.${gate}`);
      return named === `g.${gate}` ? gate.replaceAll("_", " ") : named;
    });

const differs = (a, b, shown) => b.slice(0, shown).filter((item, i) => a[i]?.item_id !== item.item_id).length;

// What an answer changed among the places that are shown.
export function changes(published, answer, shown) {
  const before = answer.before.items,
    after = answer.list.items;
  const gates = gateNames(answer.list.gates),
    were = gateNames(answer.before.gates);
  const other = gates.join() !== were.join();
  return {
    byTime: published ? differs(published.items, before, shown) : 0,
    byChange: differs(before, after, shown),
    of: Math.min(shown, after.length),
    gates: other ? gates : [],
    ended: other && !gates.length ? were : [],
    unknown: answer.unknown ?? [],
  };
}

// `view`: { bits, waiting, changed (of `changes`) or null, tookMs }
export function asIfBar(view, reset) {
  const says = [t("asif"), SPACE];
  view.bits.forEach((bit, i) => says.push(i ? (zh ? "，" : ", ") : "", h("strong", { dir: "auto" }, bit)));
  says.push(stop);
  const changed = view.changed;
  if (view.waiting) says.push(h("span", { class: "asking" }, t("asif.asking")));
  else if (changed) {
    says.push(
      changed.byChange
        ? t("asif.n", { m: count(changed.byChange), n: count(changed.of) })
        : t("asif.0", { n: count(changed.of) }),
      stop,
    );
    if (changed.gates.length) says.push(t("asif.gates", { what: changed.gates.join(comma) }), stop);
    if (changed.ended.length) says.push(t("asif.ended", { what: changed.ended.join(comma) }), stop);
    if (changed.byTime) says.push(h("span", { class: "thin" }, t("asif.time", { m: count(changed.byTime) }), stop));
    if (changed.unknown.length)
      says.push(h("span", { class: "thin" }, t("asif.unknown", { n: count(changed.unknown.length) }), stop));
  }
  return [
    h("span", { class: "says" }, says),
    !view.waiting && changed && h("span", { class: "num tiny" }, t("asif.in", { ms: duration(view.tookMs) })),
    h("a", { class: "narrow", href: "#list-h" }, t("jump.list")),
    h(
      "button",
      { id: "reset", onclick: reset, data: { key: "reset" } },
      t("reset"),
      " ",
      h("kbd", { "aria-hidden": "true" }, "Esc"),
    ),
  ];
}
