// Why does nobody see it: the conditions that an item has to pass, in order. The first closed one is the answer.
import { foreign, h } from "./dom.js";
import { icon } from "./icons.js";
import { t, words } from "./language.js";

const HELPS = {
  // what would help, by the first closed gate
  catalogue: ["help.catalogue"],
  available: ["help.available"],
  rules: ["help.rules"],
  statistics: ["help.explore", "help.text"],
  text: ["help.text"],
  listed: ["help.text", "help.explore", "help.boost"],
};

export function gateSteps(gates) {
  const first = gates.findIndex((gate) => !gate.open);
  return h(
    "ol",
    { class: "steps" },
    gates.map((gate, i) => {
      const kind = gate.open ? "yes" : i === first ? "no" : "maybe";
      return h(
        "li",
        { class: kind },
        icon(kind),
        h(
          "div",
          null,
          h("strong", null, t(`gate.${gate.name}`)),
          h(
            "p",
            null,
            h("span", { class: "vh" }, t(gate.open ? "gate.open" : "gate.shut"), " "),
            t(`gate.${gate.name}.${gate.open ? "yes" : "no"}`),
            gate.detail && h("span", { class: "dim", lang: "en", dir: "auto" }, ` (${gate.detail})`),
          ),
        ),
      );
    }),
  );
}

export function nobodySees(item) {
  const first = item.gates.find((gate) => !gate.open);
  return h(
    "section",
    { "class": "sec", "aria-labelledby": "none-h" },
    h("h2", { id: "none-h", class: "clamp-2" }, words("item.none", { t: foreign(item.title || item.item_id) })),
    h("p", { class: "small" }, t(first ? "item.none.p" : "item.none.open")),
    h(
      "div",
      { class: "card" },
      gateSteps(item.gates),
      first
        && h(
          "div",
          { class: "pad small helps" },
          h("strong", null, t("gate.do")),
          h(
            "ul",
            null,
            HELPS[first.name].map((key) => h("li", null, t(key))),
          ),
        ),
    ),
  );
}
