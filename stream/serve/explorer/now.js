// How Penchant does now: one sentence, the last minute, and the partitions. Live; stops when hidden or paused.
import { scale, share, spark, whisker, wilson } from "./bars.js";
import { command, REPLAY } from "./copying.js";
import { $, h } from "./dom.js";
import { frame } from "./frame.js";
import { freshnessChart } from "./freshness.js";
import { count, duration, fix, percent, seconds, t } from "./language.js";
import { showProblem, SKELETON_AFTER_MS, skeleton, tag } from "./states.js";
import { follow } from "./stream.js";

const KEPT = 60; // seconds of the charts
const OLD_MS = 5000;
const WAITING = 200; // events that a partition may be behind without a word
const STILL = 0.05; // events a second that count as no slope

frame("now");
const main = $("#main");
const rows = [];
let stream = null,
  paused = false,
  arrived = 0,
  page = null,
  failure = null;

const got = (answer) => {
  [arrived, failure] = [performance.now(), null];
  rows.push(answer);
  if (rows.length > KEPT) rows.shift();
  draw();
};
const broke = (why) => {
  failure = why;
  if (!page || why.kind === "token") {
    page = null;
    showProblem(main, why, start, { level: "h1" });
  } else tellAge();
};

function start() {
  stop();
  if (!paused && !document.hidden) stream = follow(got, broke);
}
function stop() {
  stream?.stop();
  stream = null;
}

// ----- the page -----
function build() {
  const chart = freshnessChart();
  const go = h("button", {
    class: "btn",
    onclick: () => {
      paused = !paused;
      paused ? stop() : start();
      draw();
    },
  });
  const parts = {
    chart,
    go,
    status: h("p", { class: "small", id: "status" }),
    say: h("h1", { class: "say", id: "say" }),
    age: h("p", { class: "note", role: "status", hidden: true }),
    figures: h("div", { class: "card smalls", id: "figures" }),
    partitions: h("tbody"),
    good: h("div"),
    refused: h("div"),
  };
  const section = (key, about, body) =>
    h("section", { class: "sec" }, h("h2", null, t(key)), about && h("p", { class: "small" }, t(about)), body);
  main.replaceChildren(
    h(
      "div",
      { class: "head" },
      h("div", null, parts.status, parts.say, h("p", { class: "lede small", id: "sub" })),
      go,
    ),
    parts.age,
    h(
      "section",
      { "class": "card pad", "aria-labelledby": "fresh-h" },
      h(
        "div",
        { class: "chart-head" },
        h("h2", { id: "fresh-h" }, t("now.fresh")),
        h(
          "span",
          { class: "legend" },
          h("span", null, h("i", { style: { "--c": "var(--ink)" } }), t("now.p50")),
          h("span", null, h("i", { style: { "--c": "var(--p-trend)" } }), t("now.p99")),
        ),
      ),
      chart.box,
    ),
    parts.figures,
    h(
      "div",
      { class: "two" },
      h(
        "div",
        null,
        section(
          "now.part",
          "now.part.p",
          h(
            "div",
            { class: "card scroll" },
            h(
              "table",
              null,
              h(
                "thead",
                null,
                h(
                  "tr",
                  null,
                  h("th", { scope: "col" }, t("now.own")),
                  h("th", { scope: "col", class: "n" }, t("now.lagc")),
                  h("th", { scope: "col", class: "third" }, h("span", { class: "vh" }, t("now.share"))),
                  h("th", { scope: "col", class: "n" }, t("now.drain")),
                ),
              ),
              parts.partitions,
            ),
          ),
        ),
        section("now.refused", "now.refused.p", parts.refused),
      ),
      section("now.good", "now.good.p", parts.good),
    ),
  );
  return parts;
}

function draw() {
  const now = rows.at(-1);
  if (!now) return;
  page ??= build();
  const { p50_ms: p50, p99_ms: p99, seconds: over } = now.freshness;
  page.status.replaceChildren(verdict(now));
  page.say.textContent =
    p50 === null
      ? t("now.h.none", { s: count(over) })
      : p50 > 60_000
        ? t("now.h.bad", { p50: duration(p50) })
        : t("now.h", { p50: duration(p50), p99: duration(p99 ?? p50) });
  $("#sub").textContent = t("now.sub", { s: count(over), n: count(now.freshness.count) });
  page.go.textContent = t(paused ? "now.go" : "now.pause");
  page.chart.draw(rows);
  page.figures.replaceChildren(...figures(now));
  page.partitions.replaceChildren(...partitions(now));
  page.good.replaceChildren(...good(now));
  page.refused.replaceChildren(refused(now));
  tellAge();
}

function verdict(now) {
  if (!now.ready) return tag("warn", `${t("now.notready")} ${now.why_not ?? ""}`);
  if (now.stale) return tag("warn", t("stale"));
  const behind = now.partitions.filter((each) => each.lag > WAITING).length;
  return behind ? tag("bad", t("now.behind", { n: behind, of: now.partitions.length })) : tag("good", t("now.ok"));
}

function figure(heading, big, unit, values) {
  return h(
    "div",
    { class: "small-fig" },
    h("h3", null, heading),
    h("p", { class: "big" }, big, " ", h("small", null, unit)),
    values && spark(values),
  );
}
const few = (value) => (value < 10 ? fix(value, 1) : count(value));
const figures = (now) => [
  figure(
    t("now.ev"),
    few(now.events_per_s),
    t("ps"),
    rows.map((r) => r.events_per_s),
  ),
  figure(
    t("now.li"),
    few(now.lists_per_s),
    t("ps"),
    rows.map((r) => r.lists_per_s),
  ),
  figure(
    t("now.lag"),
    count(now.lag),
    t("events"),
    rows.map((r) => r.lag),
  ),
  figure(
    t("now.req"),
    few(now.requests_per_s ?? 0),
    `${t("ps")}${now.request_p99_ms ? ` · p99 ${duration(now.request_p99_ms)}` : ""}`,
    rows.map((r) => r.requests_per_s ?? 0),
  ),
  figure(
    t("now.commit"),
    now.last_commit_ms === null ? "–" : duration(now.last_commit_ms),
    now.last_commit_ms === null ? "" : t("ago"),
    rows.map((r) => r.last_commit_ms ?? 0),
  ),
];

// A backlog that does not shrink has no end to tell.
function drains(each) {
  if (each.lag <= WAITING) return t("now.caught");
  if (each.slope < -STILL) return `≈ ${duration((each.lag / -each.slope) * 1000)}`;
  return h("strong", { class: "bad" }, t("now.never"));
}
function partitions(now) {
  const most = Math.max(WAITING, ...now.partitions.map((each) => each.lag));
  return now.partitions.map((each) =>
    h(
      "tr",
      null,
      h("td", { class: "num" }, String(each.partition)),
      h("td", { class: "n num" }, count(each.lag)),
      h("td", null, share(each.lag / most, each.lag > WAITING ? "var(--bad)" : "var(--ink)")),
      h("td", { class: "n num" }, drains(each)),
    ),
  );
}

function good(now) {
  const n = now.hits + now.misses,
    by = (top) => scale(0, top);
  const row = (label, k, of, c) => {
    const [low, p, high] = wilson(k, of);
    return h(
      "tr",
      null,
      h("td", null, label),
      h("td", { class: "half wide" }, whisker(low, p, high, by(Math.max(0.1, high * 1.1)), c)),
      h(
        "td",
        { class: "n num" },
        h("strong", null, percent(p)),
        h("br"),
        h("span", { class: "tiny dim" }, `${fix(low * 100, 1)}–${fix(high * 100, 1)}`),
      ),
    );
  };
  const table = (...body) => h("div", { class: "card" }, h("table", { class: "stack" }, h("tbody", null, body)));
  return [
    n || now.places
      ? table(
          n ? row(t("now.hit", { n: count(n) }), now.hits, n, "var(--p-co_occurrence)") : null,
          now.places
            ? row(t("now.explored", { n: count(now.places) }), now.explored_places, now.places, "var(--p-context)")
            : null,
        )
      : null,
    n ? null : h("p", { class: "card pad small soft" }, t("now.nohits")),
    h("p", { class: "tiny dim after" }, t("now.holds", { lists: count(now.lists), items: count(now.items) })),
    now.lists ? null : command(REPLAY),
  ].filter(Boolean);
}

function refused(now) {
  const all = Object.entries(now.refused);
  if (!all.length) return h("p", { class: "card pad small soft" }, t("now.norefused"));
  return h(
    "div",
    { class: "card" },
    h(
      "table",
      null,
      h(
        "tbody",
        null,
        all.map(([why, n]) =>
          h("tr", null, h("td", null, h("code", null, why)), h("td", { class: "n num" }, count(n))),
        ),
      ),
    ),
  );
}

// Figures that are old say so.
function tellAge() {
  if (!page) return;
  const old = performance.now() - arrived > OLD_MS || failure !== null;
  page.age.hidden = !old || !rows.length;
  if (page.age.hidden) return;
  const text = t(paused ? "now.old.paused" : failure ? "now.old.gone" : "now.old", { t: seconds(rows.at(-1).at) });
  if (page.age.textContent !== text) page.age.textContent = text;
}

setTimeout(() => {
  if (!page && !failure) main.replaceChildren(skeleton(9));
}, SKELETON_AFTER_MS);
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
addEventListener("resize", () => page && page.chart.draw(rows));
setInterval(tellAge, 1000);
start();
