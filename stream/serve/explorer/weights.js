// How many times as much each part counts: sliders from 0 to 2.
import { colour, partName } from "./bars.js";
import { $, h } from "./dom.js";
import { fix, t } from "./language.js";

// What the ranking has weights for; boosts of rules and fatigue have none.
export const WEIGHTED = ["co_occurrence", "interest", "sequence", "context", "trend", "popularity", "age"];

export function weights(parts, changed) {
  const rows = new Map(
    parts.map((part) => {
      const number = h("span", { class: "num" });
      const input = h("input", { type: "range", min: 0, max: 2, step: 0.1, value: 1, id: `w-${part}` });
      input.addEventListener("input", () => changed(part, Number(input.value)));
      const row = h(
        "div",
        { class: "wt" },
        h(
          "label",
          { class: "name", for: `w-${part}` },
          h("i", { class: "sw", style: { "--c": colour(part) } }),
          " ",
          partName(part),
        ),
        input,
        number,
      );
      return [part, { row, input, number }];
    }),
  );
  const box = h(
    "section",
    { class: "card weights" },
    h(
      "details",
      null,
      h("summary", null, t("weights")),
      [...rows.values()].map(({ row }) => row),
      h("p", { class: "tiny dim" }, t("weights.tip")),
    ),
  );
  const draw = (question) => {
    for (const [part, { input, number }] of rows) {
      const times = question.weights[part] ?? 1;
      input.value = times;
      number.textContent = `× ${fix(times, 1)}`;
      input.setAttribute("aria-valuetext", `× ${fix(times, 1)}`);
    }
    if (Object.values(question.weights).some((times) => times !== 1)) $("details", box).open = true;
  };
  return { box, draw };
}
