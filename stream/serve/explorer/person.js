// A person: the list, what caused it, and what would change it. Everything on the page is drawn from `page`; an answer
// is drawn only if it answers what is assumed now.
import { api } from "./api.js";
import { asIfBar, assumptions, changes, gateNames } from "./asif.js";
import { scaleOf } from "./bars.js";
import { behaviourRows } from "./behaviours.js";
import { $, $$, foreign, h, redraw } from "./dom.js";
import { frame, title } from "./frame.js";
import { lately } from "./lately.js";
import { comma, count, stop, t, words } from "./language.js";
import { build, hangsOn } from "./layout.js";
import { latest } from "./latest.js";
import { contributions, pointing } from "./pointing.js";
import { gone, legend, places, remembering, sentence, sharedSentence } from "./places.js";
import { bodyOf, commandOf, fromAddress, isAsIf, isWeighted, nothing, toAddress } from "./question.js";
import { load, SKELETON_AFTER_MS } from "./states.js";

const ASKED = 20; // places of an answer
const FIRST = 10; // places shown at first
const ADDRESS_AFTER_MS = 300;

frame("person");
const main = $("#main");
const address = new URLSearchParams(location.search);
const user = address.get("user") ?? "";
if (user === "") lately(main);
else {
  title(user);
  load(
    main,
    () => Promise.all([api.person(user), api.list(user, ASKED)]),
    ([person, list]) => show(person, list),
    { level: "h1", lines: 9 },
  );
}

function show(person, published) {
  const page = {
    question: fromAddress(address),
    answer: null,
    failure: null,
    waiting: false,
    slow: false,
    open: address.get("open"),
    shown: FIRST,
    taken: new Map(),
    hangs: published.counterfactual,
    lit: new Map(),
  };
  const { behaviours } = person;
  const titles = new Map(behaviours.map((each) => [each.item_id, each.title]));
  for (const item of published.items) titles.set(item.item_id, item.title);
  const name = (id) => titles.get(id) || id;

  // ----- what is asked -----
  const asking = latest(
    (question, signal) => api.whatIf(user, bodyOf(question, ASKED), signal),
    (_, answer) => {
      Object.assign(page, { answer, failure: null, waiting: false });
      keepTitles(answer);
      draw();
    },
    (_, failure) => {
      Object.assign(page, { answer: null, failure, waiting: false });
      draw();
    },
  );

  const keepTitles = (answer) => {
    for (const item of [...answer.list.items, ...answer.before.items]) titles.set(item.item_id, item.title);
    for (const item of page.question.with) item.title = name(item.id);
  };

  let addressed = 0,
    soon = 0;
  const toBar = () => history.replaceState(null, "", `?${toAddress(page.question, user)}`);

  function ask() {
    clearTimeout(addressed);
    page.failure = null;
    if (isAsIf(page.question)) {
      addressed = setTimeout(toBar, ADDRESS_AFTER_MS); // browsers count how often it is changed
      // While an answer is on its way the bar says so only after a moment, so that nothing flickers.
      if (!page.waiting) Object.assign(page, { waiting: true, slow: false });
      clearTimeout(soon);
      soon = setTimeout(() => {
        page.slow = page.waiting;
        if (page.slow) draw();
      }, SKELETON_AFTER_MS);
      asking.put(page.question);
    } else {
      toBar();
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
  const toggle = (key) =>
    change((q) => {
      const item = behaviours.find((each) => each.key === key)?.item_id;
      if (q.without.delete(key) || q.without.delete(item)) return;
      q.without.add(key);
    });

  // All about these items; where that is one behaviour, by its own name, so that its row can put it back.
  const strikeItems = (ids) =>
    change((q) => {
      for (const id of ids) {
        const of = behaviours.filter((each) => each.item_id === id);
        q.without.add(of.length === 1 ? of[0].key : id);
      }
    });

  // ----- the page -----
  const parts = build(person, published, { name, change, reset, strikeItems });
  main.replaceChildren(...parts.nodes);

  const view = (list, before) => ({
    by: scaleOf([...published.items, ...(page.answer?.before.items ?? []), ...list.items].map((item) => item.parts)),
    before: before && new Map(before.items.map((item) => [item.item_id, item.rank])),
    shared: sharedSentence(list.items.slice(0, page.shown)),
    open: page.open,
    taken: page.taken,
    user,
    counterfactual: page.hangs,
    asIf: page.answer !== null,
    weighted: page.answer !== null && isWeighted(page.question),
    name,
    command: (item) => commandOf(page.answer ? page.question : nothing(), user, item, behaviours),
  });

  function draw() {
    const { answer, question } = page,
      list = answer ? answer.list : published;
    const seen = view(list, answer?.before),
      items = list.items.slice(0, page.shown);
    const settle = remembering(parts.list);
    parts.card.setAttribute("aria-busy", String(page.waiting));
    redraw(parts.list, items.length ? places(list.items, seen).slice(0, page.shown) : emptyList(answer));
    settle();
    parts.poles.style.setProperty("--zero-at", `${seen.by.zero.toFixed(1)}%`);
    parts.legend.replaceChildren(...legend(list.items));
    redraw(
      parts.shared,
      seen.shared
        ? [
            h("span", { class: "tag" }, t("shared", { n: count(seen.shared.n), m: count(items.length) })),
            " ",
            h("span", null, sentence(seen.shared.text)),
          ]
        : [],
    );
    parts.shared.hidden = !seen.shared;
    page.lit = contributions(list.items, behaviours, question.with);

    const asIf = isAsIf(question);
    parts.hint.hidden = asIf;
    parts.gates.hidden = asIf || parts.gates.childNodes.length === 0;
    parts.bar.hidden = !asIf;
    const told = !page.waiting || page.slow || !answer; // else it says what the list still answers
    if (asIf && told)
      redraw(
        parts.bar,
        asIfBar(
          {
            bits: assumptions(question, behaviours, parts.dial.told),
            waiting: page.waiting,
            changed: answer && !page.waiting && changes(published, answer, page.shown),
            tookMs: answer?.took_ms ?? 0,
          },
          reset,
        ),
      );
    redraw(parts.miss, page.failure ? notAnswered(page.failure, ask) : []);
    parts.miss.hidden = !page.failure;

    const left = answer ? gone(answer.before.items, list.items, page.shown) : [];
    parts.gone.hidden = left.length === 0;
    parts.gone.replaceChildren(
      ...words("gone", {
        n: count(page.shown),
        what: foreign(left.map((item) => item.title || item.item_id).join(comma)),
      }),
    );
    parts.more.hidden = list.items.length <= FIRST;
    parts.more.firstChild.textContent =
      page.shown > FIRST ? t("fewer", { n: FIRST }) : t("more", { n: list.items.length });

    redraw(
      parts.dids,
      behaviourRows(behaviours, question, {
        toggle,
        drop: (id) => {
          change((q) => {
            q.with = q.with.filter((item) => item.id !== id);
          });
          parts.add.focus({ preventScroll: true });
        },
      }),
    );
    parts.dial.draw(question);
    parts.weights.draw(question);
    parts.graph.draw(answer ? answer.interests : person.interests);
  }
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
      const answer = await api.why(user, item.slot || item.rank, item.item_id);
      page.taken.set(id, answer.item.item_id === id ? answer : null); // it is ranked now: another may stand there
      if (page.open === id && !page.answer) draw();
    } catch {
      page.taken.delete(id); // the parts and behaviours came with the list; only features are missing
    }
  }
  parts.more.addEventListener("click", () => {
    page.shown = page.shown > FIRST ? FIRST : ASKED;
    draw();
  });
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
  else atThisMoment();

  // The list ranked now, asked once in the background: which conditions hold, whether time alone would change it, and
  // what the first place hangs on.
  async function atThisMoment() {
    let answer;
    try {
      answer = await api.whatIf(user, bodyOf(nothing(), ASKED));
    } catch {
      return; // a remark less
    }
    keepTitles(answer);
    parts.dial.setBase(answer.at);
    const told = gateNames(answer.before.gates);
    const { byTime, of } = changes(published, answer, FIRST);
    const bits = [
      told.length ? t("gates.now", { what: told.join(comma) }) + stop : "",
      byTime ? t("gates.time", { m: count(byTime), n: count(of) }) + stop : "",
    ];
    parts.gates.replaceChildren(...bits.filter(Boolean));
    if (answer.list.items[0]?.item_id === published.items[0]?.item_id) page.hangs = answer.list.counterfactual;
    if (page.hangs?.replacement) parts.hint.replaceChildren(...hangsOn(page.hangs, name, strikeItems));
    draw();
  }
}

const notAnswered = (failure, again) => [
  h(
    "span",
    null,
    t("miss"),
    " ",
    ["gone", "slow", "token"].includes(failure.kind) || !failure.detail
      ? t(`f.${failure.kind}.h`)
      : h("span", { lang: "en" }, failure.detail),
  ),
  h("button", { class: "inline", onclick: again, data: { key: "again" } }, t("again")),
];

const emptyList = (answer) =>
  h(
    "li",
    null,
    h(
      "div",
      { class: "state" },
      h("h3", null, t(answer ? "empty.asif.h" : "empty.h")),
      h("p", null, t(answer ? "empty.asif.p" : "empty.p")),
    ),
  );
