// A person: the list, what caused it, and what would change it. Everything on the page is drawn from `page`; an answer is
// drawn only if it answers what is assumed now.
import { api } from "./api.js";
import { asIfBar, assumptions, changes, gateNames } from "./asif.js";
import { scaleOf } from "./bars.js";
import { behaviourRows } from "./behaviours.js";
import { combobox } from "./combobox.js";
import { command, word } from "./copying.js";
import { dial } from "./dial.js";
import { $, $$, foreign, h, redraw } from "./dom.js";
import { frame, title } from "./frame.js";
import { graph } from "./graph.js";
import { earned, habits, older } from "./habits.js";
import { lately, peopleList } from "./lately.js";
import { comma, count, day, duration, moment, quoted, stop, t, words, zh } from "./language.js";
import { latest } from "./latest.js";
import { ownLink } from "./ownlink.js";
import { contributions, pointing } from "./pointing.js";
import { gone, legend, places, remembering, sentence, sharedSentence } from "./places.js";
import { bodyOf, commandOf, fromAddress, isAsIf, isWeighted, nothing, toAddress } from "./question.js";
import { findItems, personSearch } from "./search.js";
import { load, SKELETON_AFTER_MS, state, tag } from "./states.js";
import { WEIGHTED, weights } from "./weights.js";

const ASKED = 20; // places of an answer
const FIRST = 10; // places shown at first

frame("person");
const main = $("#main");
const address = new URLSearchParams(location.search);
const user = address.get("user") ?? "";
if (user === "") lately(main);
else {
  title(user);
  load(main, () => Promise.all([api.person(user), api.list(user, ASKED)]), ([person, list]) => show(person, list),
    { level: "h1", lines: 9 });
}

function show(person, published) {
  const page = {
    question: fromAddress(address), answer: null, failure: null, waiting: false, open: address.get("open"), shown: FIRST,
    taken: new Map(), lit: new Map(),
  };
  const { behaviours } = person;
  const titles = new Map(behaviours.map((each) => [each.item_id, each.title]));
  for (const item of published.items) titles.set(item.item_id, item.title);
  const name = (id) => titles.get(id) || id;

  // ----- what is asked -----
  const asking = latest((question, signal) => api.whatIf(user, bodyOf(question, ASKED), signal),
    (_, answer) => { Object.assign(page, { answer, failure: null, waiting: false }); keepTitles(answer); draw(); },
    (_, failure) => { Object.assign(page, { answer: null, failure, waiting: false }); draw(); });

  const keepTitles = (answer) => {
    for (const item of [...answer.list.items, ...answer.before.items]) titles.set(item.item_id, item.title);
    for (const item of page.question.with) item.title = name(item.id);
  };

  function ask() {
    history.replaceState(null, "", `?${toAddress(page.question, user)}`);
    page.failure = null;
    if (isAsIf(page.question)) {
      page.waiting = true;
      asking.put(page.question);
    } else {
      asking.drop();
      Object.assign(page, { answer: null, waiting: false });
    }
    draw();
  }
  const change = (f) => {
    const { without, with: added, weights: times, at } = page.question;
    page.question = { without: new Set(without), with: [...added], weights: { ...times }, at };
    f(page.question);
    ask();
  };
  const reset = () => {
    const had = document.activeElement?.id === "reset";
    page.question = nothing();
    ask();
    if (had) $(".place button", parts.list)?.focus({ preventScroll: true });
  };
  const toggle = (key) => change((q) => {
    const item = behaviours.find((each) => each.key === key)?.item_id;
    if (q.without.delete(key) || q.without.delete(item)) return;
    q.without.add(key);
  });

  // ----- the page -----
  const parts = build(person, published, {
    name, change, reset,
    strikeItems: (ids) => change((q) => ids.forEach((id) => q.without.add(
      behaviours.filter((each) => each.item_id === id).length === 1 ? behaviours.find((each) => each.item_id === id).key : id))),
  });
  main.replaceChildren(...parts.nodes);

  const view = (list, before) => ({
    by: scaleOf([...published.items, ...(page.answer?.before.items ?? []), ...list.items].map((item) => item.parts)),
    before: before && new Map(before.items.map((item) => [item.item_id, item.rank])),
    shared: sharedSentence(list.items.slice(0, page.shown)), open: page.open, taken: page.taken, user,
    counterfactual: published.counterfactual, asIf: page.answer !== null, weighted: page.answer !== null && isWeighted(page.question),
    name, command: (item) => commandOf(page.answer ? page.question : nothing(), user, item, behaviours),
  });

  function draw() {
    const { answer, question } = page, list = answer ? answer.list : published;
    const seen = view(list, answer?.before), items = list.items.slice(0, page.shown);
    const settle = remembering(parts.list);
    parts.card.setAttribute("aria-busy", String(page.waiting));
    redraw(parts.list, items.length ? places(list.items, seen).slice(0, page.shown) : emptyList(answer));
    settle();
    parts.poles.style.setProperty("--zero-at", `${seen.by.zero.toFixed(1)}%`);
    parts.legend.replaceChildren(...legend(list.items));
    redraw(parts.shared, seen.shared
      ? [h("span", { class: "tag" }, t("shared", { n: count(seen.shared.n), m: count(items.length) })), " ", h("span", null, sentence(seen.shared.text))] : []);
    parts.shared.hidden = !seen.shared;
    page.lit = contributions(list.items, behaviours, question.with);

    const asIf = isAsIf(question);
    parts.hint.hidden = asIf;
    parts.gates.hidden = asIf || parts.gates.childNodes.length === 0;
    parts.bar.hidden = !asIf;
    if (asIf) redraw(parts.bar, asIfBar({ bits: assumptions(question, behaviours, parts.dial.told), waiting: page.waiting && slow(),
      changed: answer && !page.waiting && changes(published, answer, page.shown), tookMs: answer?.took_ms ?? 0 }, reset));
    redraw(parts.miss, page.failure ? notAnswered(page.failure, ask) : []);
    parts.miss.hidden = !page.failure;

    const left = answer ? gone(answer.before.items, list.items, page.shown) : [];
    parts.gone.hidden = left.length === 0;
    parts.gone.replaceChildren(...words("gone", { n: count(page.shown), what: foreign(left.map((item) => item.title || item.item_id).join(comma)) }));
    parts.more.hidden = list.items.length <= FIRST;
    parts.more.firstChild.textContent = page.shown > FIRST ? t("fewer", { n: FIRST }) : t("more", { n: list.items.length });

    redraw(parts.dids, behaviourRows(behaviours, question, {
      toggle, drop: (id) => { change((q) => { q.with = q.with.filter((item) => item.id !== id); }); parts.add.focus({ preventScroll: true }); },
    }));
    parts.dial.draw(question);
    parts.weights.draw(question);
    parts.graph.draw(answer ? answer.interests : person.interests);
  }
  // While an answer is on its way the bar says so only after a moment, so that nothing flickers.
  let since = 0, timer = 0;
  const slow = () => {
    if (!page.waiting) { since = 0; return false; }
    if (since === 0) {
      since = performance.now();
      clearTimeout(timer);
      timer = setTimeout(() => page.waiting && draw(), SKELETON_AFTER_MS);
    }
    return page.answer === null || performance.now() - since >= SKELETON_AFTER_MS - 10;
  };

  // ----- interaction -----
  parts.list.addEventListener("click", (event) => {
    const id = event.target.closest("[data-part=open]")?.closest(".place").dataset.key;
    if (id === undefined) return;
    page.open = page.open === id ? null : id;
    draw();
    if (page.open !== null && !page.answer && !page.taken.has(id)) takeApart(id);
  });
  async function takeApart(id) {
    const item = published.items.find((each) => each.item_id === id);
    page.taken.set(id, null);
    try {
      page.taken.set(id, await api.why(user, item.slot || item.rank));
      if (page.open === id && !page.answer) draw();
    } catch {
      page.taken.delete(id); // the parts and behaviours came with the list; only features are missing
    }
  }
  parts.more.addEventListener("click", () => { page.shown = page.shown > FIRST ? FIRST : ASKED; draw(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isAsIf(page.question)) reset();
    const at = event.target.closest?.(".place > button, .did .ghost");
    if (!at || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    event.preventDefault();
    const all = $$(at.matches(".did .ghost") ? ".did .ghost" : ".place > button", main);
    all[all.indexOf(at) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  });
  pointing(parts.list, parts.rail, () => page.lit);

  draw();
  if (isAsIf(page.question)) ask();
  else nowGates(parts, published);
}

// Which conditions hold at this moment, and whether the list would differ by time alone: asked once, in the background.
async function nowGates(parts, published) {
  try {
    const answer = await api.whatIf(user, bodyOf(nothing(), ASKED));
    parts.dial.setBase(answer.at);
    const told = gateNames(answer.before.gates), byTime = changes(published, answer, FIRST).byTime;
    parts.gates.replaceChildren(
      ...[told.length ? t("gates.now", { what: told.join(comma) }) + stop : "",
      byTime ? t("gates.time", { m: count(byTime), n: count(Math.min(FIRST, published.items.length)) }) + stop : ""].filter(Boolean));
    parts.gates.hidden = (!told.length && !byTime) || !parts.bar.hidden;
  } catch {
    parts.gates.replaceChildren(); // a remark less
  }
}

const notAnswered = (failure, again) => [
  h("span", null, t("miss"), " ", ["gone", "slow", "token"].includes(failure.kind) || !failure.detail ? t(`f.${failure.kind}.h`)
    : h("span", { lang: "en" }, failure.detail)),
  h("button", { class: "inline", onclick: again, data: { key: "again" } }, t("again"))];

const emptyList = (answer) => h("li", null, h("div", { class: "state" }, h("h3", null, t(answer ? "empty.asif.h" : "empty.h")),
  h("p", null, t(answer ? "empty.asif.p" : "empty.p"))));

// The elements of the page; what changes is drawn into them.
function build(person, published, { name, change, reset, strikeItems }) {
  const { behaviours } = person;
  const list = h("ol", { class: "places", id: "places" });
  const bar = h("div", { class: "asif", id: "asif", role: "status", hidden: true });
  const miss = h("div", { class: "note", id: "miss", role: "alert", hidden: true });
  const hint = h("p", { class: "small soft", id: "hint" }, hangsOn(published, name, strikeItems));
  const legendLine = h("p", { class: "legend", id: "legend" });
  const poles = h("span", { class: "poles" }, h("span", null, t("pole.low")), h("span", null, t("pole.up")));
  const shared = h("p", { class: "shared clamp-3", id: "shared", hidden: true });
  const goneLine = h("p", { class: "gone", hidden: true, id: "gone" });
  const more = h("p", { class: "more" }, h("button", { class: "inline" }, ""));
  const gates = h("p", { class: "small soft", id: "gates", hidden: true });
  const card = h("div", { class: "card" },
    h("div", { class: "list-head" }, h("h2", { id: "list-h" }, t("list")), h("p", { class: "narrow small" }, h("a", { href: "#did-h" }, t("jump.did"))),
      hint, gates, shared,
      h("div", { class: "cols" }, legendLine, h("p", { class: "axis" }, poles, h("b", null, t("score"), h("br"), t("chance"))))),
    list, goneLine, more);

  const clock = dial(behaviours, (at) => change((q) => { q.at = at; }));
  const picture = graph(name);
  const slides = weights(WEIGHTED.filter((part) => published.items.some((item) => part in item.parts)),
    (part, times) => change((q) => { q.weights[part] = times; }));
  const add = combobox({
    label: t("add"), drawing: "click", find: findItems, empty: t("find.nothing"),
    choose: (item) => change((q) => { if (!q.with.some((each) => each.id === item.id)) q.with.push({ id: item.id, title: item.title || item.id }); }),
  });
  const dids = h("div", { class: "dids" });
  const rail = h("div", { class: "rail" },
    h("section", { class: "card", "aria-labelledby": "did-h" }, h("header", null, h("h2", { id: "did-h" }, t("did"))),
      h("p", { class: "small dim pad-x" }, t(behaviours.length ? "did.tip" : "did.none")), h("div", { class: "add" }, add.box), dids),
    h("section", { class: "card", "aria-labelledby": "int-h" }, h("header", null, h("h2", { id: "int-h" }, t("int"))),
      h("p", { class: "small dim pad-x" }, t("int.tip"), person.interests.points.some((p) => p.weight < 0) ? ` ${t("int.neg")}` : ""), picture.box),
    slides.box);
  const link = ownLink(person.user_id);
  const who = h("div", { class: "who" }, h("div", null, h("h1", { id: "name" }, foreign(person.user_id)), summary(person, published)),
    h("div", { class: "who-do" }, personSearch(), person.known && link.button));
  const beyond = h("div", { class: "known" }, earned(person), older(person), habits(person));
  const nodes = [who, link.place, person.known ? null : unknown(person.user_id),
    behaviours.length ? clock.box : null,
    h("div", { class: "desk" }, h("section", { "aria-labelledby": "list-h" }, bar, miss, card, source(published)), rail, beyond)];
  return { nodes: nodes.filter(Boolean), list, bar, miss, hint, legend: legendLine, poles, shared, gone: goneLine, more, gates, card,
    dial: clock, graph: picture, weights: slides, dids, rail, add: add.input, reset };
}

function hangsOn(published, name, strikeItems) {
  const found = published.counterfactual;
  if (!found?.replacement) return t("list.tip");
  const what = found.removed.map((id) => quoted(name(id))).join(comma);
  return [h("span", { class: "clamp-4" }, words("hint", { what: foreign(what), instead: foreign(name(found.replacement)) })), " ",
    h("button", { class: "inline", id: "try", onclick: () => strikeItems(found.removed) }, t("hint.try"))];
}

function summary(person, published) {
  const { points } = person.interests;
  const top = points.filter((p) => p.weight > 0).sort((a, b) => b.weight - a.weight).slice(0, 3);
  const days = Math.max(1, Math.round((person.last_seen - person.first_seen) / 86_400_000));
  const newest = top.flatMap((p, i) => [i ? comma : "", foreign(p.title || p.item_id, { class: "strong" })]);
  return h("div", null,
    h("p", { class: "lede clamp-2" }, top.length ? [t("who.lately"), zh ? "" : " ", newest, zh ? "。" : "."] : t("who.nothing")),
    person.known && h("p", { class: "small soft" },
      t("who.sum", { n: count(person.events), days: t("days", { n: count(days) }), first: day(person.first_seen), last: moment(person.last_seen) }),
      person.impressions ? ` ${t("who.shown", { n: count(person.impressions) })}` : ""),
    h("p", { class: "tags" }, published.fresh ? null : tag("warn", t("not.fresh")), published.stale ? tag("warn", t("stale")) : null,
      published.relaxed?.length ? tag("warn", t("relaxed", { what: published.relaxed.join(comma) })) : null,
      Object.entries(published.experiments ?? {}).map(([key, arm]) => tag("", `${key}: ${arm}`))));
}

function source(list) {
  const short = (text) => (text ? text.split(/[@:]/)[0].slice(0, 24) : "–");
  const made = t(list.how === "published" ? "src.published" : "src.ranked", { ago: duration(Math.max(0, list.age_ms)) });
  const from = list.source ? t("src.offset", { offset: count(list.source.offset), partition: list.source.partition }) : "";
  return h("p", { class: "small dim src" }, made, " ", from, " ",
    t("src.by", { ranker: short(list.model.ranker), encoder: short(list.model.encoder) }),
    list.model.sequence ? "" : ` ${t("src.nosequence")}`);
}

// Nobody of this id: what stands below is a newcomer's list.
function unknown(id) {
  const others = h("div");
  api.people(4).then(({ people }) => people.length && others.replaceChildren(h("h3", null, t("start.now")), peopleList(people))).catch(() => {});
  return state({ heading: t("unknown.h", { who: quoted(id.slice(0, 80)) }), text: t("unknown.p"), label: t("unknown.tag"), more: [
    command(`curl ${word(new URL("../v1/events", import.meta.url).href)} --json ${word(JSON.stringify({ user_id: id, item_id: "ITEM", action: "click" }))}`),
    others] });
}

