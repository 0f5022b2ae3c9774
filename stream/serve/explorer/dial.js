// The clock: a stop for each behaviour, now, and four stops after it. A native range over drawings of what happened.
import { h } from "./dom.js";
import { clock, day, moment, shortDay, t } from "./language.js";

const HOUR = 3_600_000;
const LATER = [
  ["1h", HOUR],
  ["1d", 24 * HOUR],
  ["1w", 168 * HOUR],
  ["1m", 720 * HOUR],
];
const HEIGHT = {
  purchase: 26,
  like: 18,
  cart: 18,
  dislike: 14,
  refund: 14,
  click: 12,
  query: 12,
  view: 6,
  impression: 4,
};

// `moved({ ms, step } or null)` for each step; `base`: the moment from which "an hour later" counts.
export function dial(behaviours, moved) {
  const times = [...new Set(behaviours.map((each) => each.event_time))].sort((a, b) => a - b);
  const now = Math.max(times.length, 1) - 1,
    last = now + LATER.length;
  let base = times.at(-1) ?? 0;

  const input = h("input", { type: "range", id: "time", min: 0, max: last, step: 1, value: now });
  const output = h("output", { for: "time", class: "small nowrap" });
  const track = h("div", { "class": "track", "aria-hidden": "true" });
  const left = (step) => `${last ? (step / last) * 100 : 0}%`;

  const atStep = (step) => {
    if (step === now) return null;
    return { step, ms: step < now ? times[step] : base + LATER[step - now - 1][1] };
  };
  const told = (at) => {
    if (at === null) return t("time.now");
    const k = behaviours.filter((each) => each.event_time <= at.ms).length;
    if (at.step > now) return t("time.later", { t: t(LATER[at.step - now - 1][0]) });
    if (at.ms > (times.at(-1) ?? 0)) return t("time.at", { t: `${day(at.ms)} ${clock(at.ms)}` });
    return t("time.asof", { t: moment(at.ms), k, n: behaviours.length });
  };
  input.addEventListener("input", () => moved(atStep(Number(input.value))));

  function draw(question) {
    const { at } = question,
      until = at?.ms ?? Infinity;
    const glyphs = behaviours.map((each) => {
      const out = question.without.has(each.key) || question.without.has(each.item_id);
      const bad = each.action === "dislike" || each.action === "refund";
      const cls = `${bad ? "neg" : ""} ${out ? "out" : ""} ${each.event_time > until ? "later" : ""}`;
      return h("i", {
        class: cls,
        style: { left: left(times.indexOf(each.event_time)), height: `${HEIGHT[each.action] ?? 8}px` },
      });
    });
    track.replaceChildren(
      h("span", { class: "future", style: { left: left(now) } }),
      ...glyphs,
      times.length > 2 ? h("b", { class: "first" }, shortDay(times[0])) : "",
      h("b", { class: "now", style: { left: left(now) } }, t("time.now")),
      h("b", { class: "last" }, `+ ${t("1m")}`),
    );
    if (document.activeElement !== input || at === null) input.value = at === null ? now : (at.step ?? stepOf(at.ms));
    output.textContent = told(at);
    input.setAttribute("aria-valuetext", told(at));
  }
  const stepOf = (ms) =>
    ms > times.at(-1)
      ? last
      : Math.max(
          0,
          times.findLastIndex((each) => each <= ms),
        );

  const box = h(
    "section",
    { "class": "card clock", "aria-labelledby": "time-h" },
    h(
      "div",
      { class: "row" },
      h("label", { id: "time-h", for: "time", class: "small soft" }, t("time.slider")),
      output,
    ),
    h("div", { class: "dial" }, track, input),
  );
  return {
    box,
    draw,
    told,
    setBase: (ms) => {
      base = Math.max(ms, times.at(-1) ?? 0);
    },
  };
}
