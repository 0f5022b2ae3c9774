// The elements of the page of a person, and what is said once: who they are, what the list is made from, and that
// nobody of this id is known. What changes is drawn into them by `person.js`.
import { api } from "./api.js";
import { combobox } from "./combobox.js";
import { command, word } from "./copying.js";
import { dial } from "./dial.js";
import { foreign, h } from "./dom.js";
import { graph } from "./graph.js";
import { earned, habits, older } from "./habits.js";
import { peopleList } from "./lately.js";
import { comma, count, day, duration, moment, quoted, t, words, zh } from "./language.js";
import { ownLink } from "./ownlink.js";
import { findItems, personSearch } from "./search.js";
import { state, tag } from "./states.js";
import { WEIGHTED, weights } from "./weights.js";

// The elements of the page; what changes is drawn into them.
export function build(person, published, { name, change, reset, strikeItems }) {
  const { behaviours } = person;
  const list = h("ol", { class: "places", id: "places" });
  const bar = h("div", { class: "asif", id: "asif", role: "status", hidden: true });
  const miss = h("div", { class: "note", id: "miss", role: "alert", hidden: true });
  const hint = h(
    "p",
    { class: "small soft", id: "hint" },
    published.counterfactual?.replacement ? hangsOn(published.counterfactual, name, strikeItems) : t("list.tip"),
  );
  const legendLine = h("p", { class: "legend", id: "legend" });
  const poles = h("span", { class: "poles" }, h("span", null, t("pole.low")), h("span", null, t("pole.up")));
  const shared = h("p", { class: "shared clamp-3", id: "shared", hidden: true });
  const goneLine = h("p", { class: "gone", hidden: true, id: "gone" });
  const more = h("p", { class: "more" }, h("button", { class: "inline" }, ""));
  const gates = h("p", { class: "small soft", id: "gates", hidden: true });
  const card = h(
    "div",
    { class: "card" },
    h(
      "div",
      { class: "list-head" },
      h("h2", { id: "list-h" }, t("list")),
      h("p", { class: "narrow small" }, h("a", { href: "#did-h" }, t("jump.did"))),
      hint,
      gates,
      shared,
      h(
        "div",
        { class: "cols" },
        legendLine,
        h("p", { class: "axis" }, poles, h("b", null, t("score"), h("br"), t("chance"))),
      ),
    ),
    list,
    goneLine,
    more,
  );

  const clock = dial(behaviours, (at) =>
    change((q) => {
      q.at = at;
    }),
  );
  const picture = graph(name);
  const slides = weights(
    WEIGHTED.filter((part) => published.items.some((item) => part in item.parts)),
    (part, times) =>
      change((q) => {
        q.weights[part] = times;
      }),
  );
  const add = combobox({
    label: t("add"),
    drawing: "click",
    find: findItems,
    empty: t("find.nothing"),
    choose: (item) =>
      change((q) => {
        if (!q.with.some((each) => each.id === item.id)) q.with.push({ id: item.id, title: item.title || item.id });
      }),
  });
  const dids = h("div", { class: "dids" });
  const rail = h(
    "div",
    { class: "rail" },
    h(
      "section",
      { "class": "card", "aria-labelledby": "did-h" },
      h("header", null, h("h2", { id: "did-h" }, t("did"))),
      h("p", { class: "small dim pad-x" }, t(behaviours.length ? "did.tip" : "did.none")),
      h("div", { class: "add" }, add.box),
      dids,
    ),
    h(
      "section",
      { "class": "card", "aria-labelledby": "int-h" },
      h("header", null, h("h2", { id: "int-h" }, t("int"))),
      h(
        "p",
        { class: "small dim pad-x" },
        t("int.tip"),
        person.interests.points.some((p) => p.weight < 0) ? ` ${t("int.neg")}` : "",
      ),
      picture.box,
    ),
    slides.box,
  );
  const link = ownLink(person.user_id);
  const who = h(
    "div",
    { class: "who" },
    h("div", null, h("h1", { id: "name" }, foreign(person.user_id)), summary(person, published)),
    h("div", { class: "who-do" }, personSearch(), person.known && link.button),
  );
  const beyond = h("div", { class: "known" }, earned(person), older(person), habits(person));
  const nodes = [
    who,
    link.place,
    person.known ? null : unknown(person.user_id),
    behaviours.length ? clock.box : null,
    h(
      "div",
      { class: "desk" },
      h("section", { "aria-labelledby": "list-h" }, bar, miss, card, source(published)),
      rail,
      beyond,
    ),
  ];
  return {
    nodes: nodes.filter(Boolean),
    list,
    bar,
    miss,
    hint,
    legend: legendLine,
    poles,
    shared,
    gone: goneLine,
    more,
    gates,
    card,
    dial: clock,
    graph: picture,
    weights: slides,
    dids,
    rail,
    add: add.input,
    reset,
  };
}

// What the first place hangs on, and a button that strikes it out.
export function hangsOn(found, name, strikeItems) {
  const what = found.removed.map((id) => quoted(name(id))).join(comma);
  return [
    h(
      "span",
      { class: "clamp-4" },
      words("hint", { what: foreign(what), instead: foreign(name(found.replacement)) }),
    ),
    " ",
    h("button", { class: "inline", id: "try", onclick: () => strikeItems(found.removed) }, t("hint.try")),
  ];
}

function summary(person, published) {
  const { points } = person.interests;
  const top = points
    .filter((p) => p.weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, 3);
  const days = Math.max(1, Math.round((person.last_seen - person.first_seen) / 86_400_000));
  const newest = top.flatMap((p, i) => [i ? comma : "", foreign(p.title || p.item_id, { class: "strong" })]);
  return h(
    "div",
    null,
    person.known
      && h(
        "p",
        { class: "lede clamp-2" },
        top.length ? [t("who.lately"), zh ? "" : " ", newest, zh ? "。" : "."] : t("who.nothing"),
      ),
    person.known
      && h(
        "p",
        { class: "small soft" },
        t("who.sum", {
          n: count(person.events),
          days: t("days", { n: count(days) }),
          first: day(person.first_seen),
          last: moment(person.last_seen),
        }),
        person.impressions ? ` ${t("who.shown", { n: count(person.impressions) })}` : "",
      ),
    h(
      "p",
      { class: "tags" },
      published.fresh ? null : tag("warn", t("not.fresh")),
      published.stale ? tag("warn", t("stale")) : null,
      published.relaxed?.length ? tag("warn", t("relaxed", { what: published.relaxed.join(comma) })) : null,
      Object.entries(published.experiments ?? {}).map(([key, arm]) => tag("", `${key}: ${arm}`)),
    ),
  );
}

function source(list) {
  const short = (text) => (text ? text.split(/[@:]/)[0].slice(0, 24) : "–");
  const made = t(list.how === "published" ? "src.published" : "src.ranked", {
    ago: duration(Math.max(0, list.age_ms)),
  });
  const from = list.source
    ? t("src.offset", { offset: count(list.source.offset), partition: list.source.partition })
    : "";
  return h(
    "p",
    { class: "small dim src" },
    made,
    " ",
    from,
    " ",
    t("src.by", { ranker: short(list.model.ranker), encoder: short(list.model.encoder) }),
    list.model.sequence ? "" : ` ${t("src.nosequence")}`,
  );
}

// Nobody of this id: what stands below is a newcomer's list.
function unknown(id) {
  const event = { user_id: id, item_id: "ITEM", action: "click" };
  const others = h("div");
  api
    .people(4)
    .then(({ people }) => people.length && others.replaceChildren(h("h3", null, t("start.now")), peopleList(people)))
    .catch(() => {});
  return state({
    heading: t("unknown.h", { who: quoted(id.slice(0, 80)) }),
    text: t("unknown.p"),
    label: t("unknown.tag"),
    more: [
      command(`curl ${word(new URL("../v1/events", import.meta.url).href)} --json ${word(JSON.stringify(event))}`),
      others,
    ],
  });
}
