// Rules in force with what they moved, and a draft that is tried on ten people before it is published.
import { api } from "./api.js";
import { command } from "./copying.js";
import { draft } from "./draft.js";
import { $, foreign, h } from "./dom.js";
import { frame } from "./frame.js";
import { count, t } from "./language.js";
import { load, note, problem, state, tag } from "./states.js";

frame("policy");
const main = $("#main");
const table = h("div", { id: "rules" });
const trying = draft({ published: refresh });

main.replaceChildren(
  h(
    "div",
    { class: "head" },
    h("div", null, h("h1", { class: "say", id: "say" }, t("pol.h.wait")), h("p", { class: "lede" }, t("pol.p"))),
    h("a", { class: "btn solid", href: "#draft-h" }, t("pol.draft")),
  ),
  table,
  trying.box,
);
refresh();

function refresh() {
  return load(
    table,
    () => api.rules(),
    (answer) => {
      const moving = answer.rules.filter((rule) => rule.active !== false && rule.moved);
      const moved = moving.reduce((sum, rule) => sum + rule.moved, 0);
      $("#say").textContent =
        answer.rules.length === 0
          ? t("pol.h.none")
          : moved
            ? t("pol.h", { n: count(moving.length), m: count(moved) })
            : t("pol.h.still", { n: count(answer.rules.length) });
      table.replaceChildren(
        ...(answer.rules.length ? [answer.ready ? "" : note("", t("pol.notready")), rules(answer.rules)] : [none()]),
      );
    },
  );
}

const none = () =>
  state({ heading: t("pol.none.h"), text: t("pol.none.p"), more: command("penchant rules apply rules.toml") });

const rules = (all) =>
  h(
    "div",
    { class: "card" },
    h(
      "table",
      { class: "stack" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, t("pol.rule")),
          h("th", { scope: "col", class: "n" }, t("pol.items")),
          h("th", { scope: "col", class: "n" }, t("pol.moves")),
          h("th", { scope: "col" }, t("pol.state")),
          h("th", { scope: "col" }, h("span", { class: "vh" }, t("pol.do"))),
        ),
      ),
      h("tbody", null, all.map(row)),
    ),
  );

// What it says beside its kind, on a line: where: price < 2 · share: 0.5
function brief(record) {
  const told = Object.entries(record ?? {}).filter(([name]) => name !== "kind" && name !== "note");
  return told.map(([name, value]) => `${name}: ${[value].flat().slice(0, 5).join(", ")}`).join(" · ");
}

function row(rule) {
  const kind = t(`kind.${rule.kind}`);
  const acts = h("div", { class: "acts" });
  const cells = h(
    "tr",
    { data: { rule: rule.key } },
    h(
      "td",
      { class: "wide" },
      h("strong", null, foreign(rule.key)),
      " ",
      tag("", kind.startsWith("kind.") ? rule.kind : kind),
      rule.description && h("p", { class: "small soft", dir: "auto" }, rule.description),
      h("p", null, h("code", { class: "dim brief", dir: "ltr" }, brief(rule.record))),
      h(
        "details",
        null,
        h("summary", null, t("pol.record")),
        h("pre", { class: "tiny", tabindex: "0" }, JSON.stringify(rule.record, null, 2)),
      ),
    ),
    h(
      "td",
      { class: "n num", data: { l: `${t("pol.items")}:` } },
      rule.items === null || rule.items === undefined ? "–" : count(rule.items),
    ),
    h("td", { class: "n num", data: { l: `${t("pol.moves")}:` } }, count(rule.moved ?? 0)),
    h("td", null, rule.active === false ? tag("", t("pol.off")) : tag("good", t("pol.on"))),
    h("td", null, acts),
  );
  const ask = () => {
    acts.replaceChildren(
      h("span", { class: "small soft" }, t("pol.sure")),
      h("button", { "class": "btn", "onclick": offer, "aria-label": `${t("pol.keep")}: ${rule.key}` }, t("pol.keep")),
      h(
        "button",
        { "class": "btn danger", "onclick": withdraw, "aria-label": `${t("pol.withdraw")}: ${rule.key}` },
        t("pol.withdraw"),
      ),
    );
    $("button", acts).focus();
  };
  const offer = () =>
    acts.replaceChildren(
      rule.kind === "placement"
        ? ""
        : h(
            "button",
            {
              "class": "btn",
              "onclick": () => trying.edit(rule.key, rule.record),
              "aria-label": `${t("pol.edit")}: ${rule.key}`,
            },
            t("pol.edit"),
          ),
      h(
        "button",
        { "class": "btn", "onclick": ask, "aria-label": `${t("pol.withdraw")} …: ${rule.key}` },
        `${t("pol.withdraw")} …`,
      ),
    );
  async function withdraw() {
    try {
      await api.publish(rule.key, null);
      acts.replaceChildren(tag("", t("pol.withdrawn")));
      setTimeout(refresh, 1500); // the workers and this server follow the topic
    } catch (failure) {
      if (!failure.kind) throw failure;
      acts.replaceChildren(problem(failure, withdraw, { admin: true, level: "h3" }));
    }
  }
  offer();
  return cells;
}
