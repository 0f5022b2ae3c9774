// A draft of a rule: written in a form, or as the JSON that goes on the topic; tried on ten people; only what was
// tried, as it was tried, can be published.
import { api } from "./api.js";
import { $, foreign, h } from "./dom.js";
import { pageUrl } from "./frame.js";
import { count, fix, signed, t } from "./language.js";
import { note, problem, skeleton } from "./states.js";

const OWN = { deny: [], filter: [], boost: ["add"], promote: ["least"], pin: ["place"], cap: ["by", "most"] };
const NUMBERS = { add: [-20, 20, 0.1, 0.5], least: [1, 200, 1, 2], place: [1, 200, 1, 1], most: [1, 200, 1, 3] };
const HAS_WHERE = ["deny", "filter", "boost", "promote"];

const field = (name, control, hint = "") =>
  h(
    "div",
    { class: "entry", data: { field: name } },
    h("label", { for: control.id }, t(`draft.${name}`)),
    control,
    hint && h("p", { class: "tiny dim", id: `${control.id}-hint` }, hint),
  );
const text = (name, more = {}) =>
  h("input", {
    id: `draft-${name}`,
    class: "input",
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    ...more,
  });

export function draft({ published }) {
  const key = text("key", {
    "required": true,
    "maxlength": 64,
    "value": "draft",
    "aria-describedby": "draft-key-hint",
  });
  const kind = h(
    "select",
    { id: "draft-kind", class: "input" },
    Object.keys(OWN).map((name) => h("option", { value: name }, `${t(`kind.${name}`)} (${name})`)),
  );
  const where = text("where", { "value": "price < 2", "maxlength": 1000, "aria-describedby": "draft-where-hint" });
  const items = text("items", { "aria-describedby": "draft-items-hint" });
  const by = text("by", { value: "category" });
  const numbers = Object.fromEntries(
    Object.entries(NUMBERS).map(([name, [min, max, step, value]]) => [
      name,
      h("input", { id: `draft-${name}`, class: "input", type: "number", min, max, step, value }),
    ]),
  );
  const json = h("textarea", { id: "draft-json", class: "input mono", rows: 7, spellcheck: "false" });
  const entries = [
    field("key", key, t("draft.key.p")),
    field("kind", kind),
    field("where", where, t("draft.where.p")),
    field("items", items, t("draft.items.p")),
    field("by", by, "category, language, attributes.NAME"),
    ...Object.entries(numbers).map(([name, input]) => field(name, input)),
  ];
  const go = h("button", { class: "btn solid", id: "try" }, t("draft.try"));
  const result = h("div", { "id": "tried", "aria-live": "polite" });
  const message = h("p", { class: "note bad", role: "alert", hidden: true });

  const written = () => {
    const rule = { kind: kind.value };
    if (HAS_WHERE.includes(rule.kind) && where.value.trim()) rule.where = where.value.trim();
    const ids = items.value
      .split(",")
      .map((id) => id.trim())
      .filter(Boolean);
    if (rule.kind !== "cap" && ids.length) rule.items = ids;
    for (const name of OWN[rule.kind]) rule[name] = name === "by" ? by.value.trim() : Number(numbers[name].value);
    return rule;
  };
  const arrange = () => {
    const shown = new Set([
      "key",
      "kind",
      ...(HAS_WHERE.includes(kind.value) ? ["where", "items"] : kind.value === "pin" ? ["items"] : []),
      ...OWN[kind.value],
    ]);
    for (const entry of entries) entry.hidden = !shown.has(entry.dataset.field);
  };
  const fromForm = () => {
    arrange();
    json.value = JSON.stringify(written(), null, 2);
    stale();
  };
  const stale = () => {
    result.replaceChildren();
    wrong(null);
  };
  const wrong = (failure) => {
    message.hidden = failure === null;
    message.textContent = failure?.detail ?? "";
    const name = failure?.field?.split(".").at(-1);
    for (const entry of entries)
      $("input, select", entry).toggleAttribute("aria-invalid", entry.dataset.field === name);
  };

  async function tryIt() {
    let rule;
    wrong(null);
    try {
      rule = JSON.parse(json.value);
    } catch (error) {
      return wrong({ detail: t("draft.nojson", { why: error.message }), field: "json" });
    }
    const name = key.value.trim();
    if (!name) {
      key.focus();
      return wrong({ detail: t("draft.nokey"), field: "key" });
    }
    go.disabled = true;
    const soon = setTimeout(() => result.replaceChildren(skeleton(5)), 300);
    try {
      const answer = await api.tryRule(name, rule);
      result.replaceChildren(tried(answer, () => publish(name, rule)));
      $("h3", result).focus({ preventScroll: true });
    } catch (failure) {
      if (!failure.kind) throw failure;
      result.replaceChildren();
      if (failure.kind === "wrong") wrong(failure);
      else result.replaceChildren(problem(failure, tryIt, { admin: true, level: "h3" }));
    } finally {
      clearTimeout(soon);
      go.disabled = false;
    }
  }

  async function publish(name, rule) {
    const place = $("#publish", result);
    try {
      const done = await api.publish(name, rule);
      place.replaceChildren(note("good", t("draft.done", { key: done.key })));
      setTimeout(published, 1500); // the workers and this server follow the topic
    } catch (failure) {
      if (!failure.kind) throw failure;
      place.replaceChildren(
        failure.kind === "wrong"
          ? note("bad", failure.detail)
          : problem(failure, () => publish(name, rule), { admin: true, level: "h4" }),
      );
    }
  }

  const form = h(
    "form",
    {
      class: "draft",
      onsubmit: (event) => {
        event.preventDefault();
        tryIt();
      },
    },
    h("div", { class: "entries" }, entries),
    h(
      "details",
      null,
      h("summary", null, t("draft.json")),
      h("label", { class: "vh", for: "draft-json" }, t("draft.json")),
      json,
    ),
    message,
    h("div", { class: "row-of" }, go, h("span", { class: "small dim" }, t("draft.nothing"))),
  );
  for (const control of [kind, where, items, by, ...Object.values(numbers)])
    control.addEventListener("input", fromForm);
  for (const control of [json, key]) control.addEventListener("input", stale);
  fromForm();

  // Take a rule that is there into the form; what the form has no field for stays in the JSON.
  function edit(name, record) {
    key.value = name;
    if (record.kind in OWN) kind.value = record.kind;
    where.value = record.where ?? "";
    items.value = (record.items ?? []).join(", ");
    if (record.by) by.value = record.by;
    for (const each of Object.keys(numbers)) if (record[each] !== undefined) numbers[each].value = record[each];
    arrange();
    json.value = JSON.stringify(record, null, 2);
    stale();
    $("details", form).open = true;
    $("#draft-h").scrollIntoView({ block: "start" });
    key.focus({ preventScroll: true });
  }

  const box = h(
    "section",
    { "class": "sec", "aria-labelledby": "draft-h" },
    h("h2", { id: "draft-h" }, t("pol.draft")),
    h("p", { class: "small" }, t("draft.p")),
    h("div", { class: "card pad" }, form),
    result,
  );
  return { box, edit };
}

// What the draft would do: in sum, then person by person.
function tried(answer, publish) {
  const { expected_clicks_before: before = 0, expected_clicks_after: after = 0 } = answer;
  const moved = answer.tried.filter((each) => each.moved.length).length;
  const button = h("button", { class: "btn solid", id: "publish-it" }, t("draft.publish"));
  button.addEventListener("click", () => {
    button.disabled = true;
    publish();
  });
  return h(
    "div",
    { class: "after" },
    h("h3", { tabindex: "-1", class: "result" }, t("tried.h", { m: count(moved), n: count(answer.tried.length) })),
    h(
      "dl",
      { class: "kv" },
      h(
        "div",
        null,
        h("dt", null, t("tried.clicks")),
        h("dd", null, signed(after - before, 3), " ", h("small", null, `${fix(before, 3)} → ${fix(after, 3)}`)),
      ),
      answer.items === null || answer.items === undefined
        ? null
        : h("div", null, h("dt", null, t("pol.items")), h("dd", null, count(answer.items))),
    ),
    (answer.warnings ?? []).map((text) => note("", h("span", { lang: "en" }, text))),
    h("div", { class: "tried" }, answer.tried.toSorted((a, b) => b.moved.length - a.moved.length).map(one)),
    h("div", { class: "publish", id: "publish" }, button, h("span", { class: "small soft" }, t("draft.publish.p"))),
  );
}

function one(each) {
  const change = (move) =>
    h(
      "li",
      { class: move.after === null ? "left" : "" },
      h(
        "span",
        { class: "num dim" },
        move.before === null ? "✦" : count(move.before),
        " → ",
        move.after === null ? "–" : count(move.after),
      ),
      foreign(move.title || move.item_id, { class: "cut" }, "span"),
    );
  return h(
    "section",
    { class: "card" },
    h(
      "header",
      null,
      h("h4", null, h("a", { href: pageUrl("index", { user: each.user_id }) }, foreign(each.user_id))),
    ),
    each.moved.length
      ? h(
          "ul",
          { class: "moves" },
          each.moved.slice(0, 6).map(change),
          each.moved.length > 6 && h("li", { class: "dim" }, t("tried.more", { n: count(each.moved.length - 6) })),
        )
      : h("p", { class: "small dim pad-x" }, t("tried.same")),
  );
}
