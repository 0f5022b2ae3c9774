// An item: who gets it, what is chosen near it, its trend, and why nobody sees it.
import { api } from "./api.js";
import { share } from "./bars.js";
import { $, foreign, h, s } from "./dom.js";
import { frame, pageUrl, title } from "./frame.js";
import { gateSteps, nobodySees } from "./gates.js";
import { comma, count, day, fix, percent, t } from "./language.js";
import { itemSearch } from "./search.js";
import { load, state, tag } from "./states.js";

const LONGEST = 8; // neighbours shown of each kind

frame("item");
const main = $("#main");
const asked = new URLSearchParams(location.search).get("item") ?? "";

const link = (found) =>
  h("a", { href: pageUrl("item", { item: found.item_id }), dir: "auto", class: "cut" }, found.title || found.item_id);
const section = (id, heading, about, body, cls = "card") =>
  h(
    "section",
    { "class": "sec", "aria-labelledby": id },
    h("h2", { id }, heading),
    about && h("p", { class: "small" }, about),
    h("div", { class: cls }, body),
  );

if (asked === "") start();
else {
  title(asked);
  load(main, () => api.item(asked), show, {
    level: "h1",
    onfailure: (failure) => failure.kind === "missing" && unknown(),
  });
}

// ----- before an item is chosen -----
function start() {
  const most = h("div", { class: "lists-of" }),
    rising = h("div", { class: "lists-of" });
  main.replaceChildren(
    h(
      "div",
      { class: "letter" },
      h("h1", { class: "say" }, t("item.start")),
      h("p", { class: "lede" }, t("item.start.p")),
      h("div", { class: "start-find" }, itemSearch()),
    ),
    h(
      "div",
      { class: "two letter-wide" },
      h("section", { class: "sec" }, h("h2", null, t("item.most")), most),
      h("section", { class: "sec" }, h("h2", null, t("item.trending")), rising),
    ),
  );
  const none = () => state({ heading: t("item.empty.h"), text: t("item.empty.p"), level: "h3" });
  load(
    most,
    () => api.items("", 10),
    ({ items }) => most.replaceChildren(items.length ? shortList(items) : none()),
    { level: "h3" },
  );
  load(
    rising,
    () => api.trending(10),
    ({ items }) =>
      rising.replaceChildren(
        items.length
          ? shortList(items, "var(--p-trend)")
          : h("p", { class: "card pad small soft" }, t("item.notrend")),
      ),
    { level: "h3" },
  );
}

const shortList = (items, c) => {
  const top = Math.max(...items.map((item) => item.score ?? 0), 1e-9);
  return h(
    "ul",
    { class: "card rows" },
    items.map((item) =>
      h(
        "li",
        null,
        link(item),
        c ? share((item.score ?? 0) / top, c) : h("span", { class: "tiny dim cut" }, item.item_id),
        item.available === false
          ? tag("warn", t("item.off"))
          : h(
              "span",
              { class: "num tiny dim" },
              c ? fix(item.score ?? 0, item.score < 10 ? 2 : 0) : price(item.price),
            ),
      ),
    ),
  );
};
const price = (value) => (value === null || value === undefined ? "" : fix(value, 2));

function unknown() {
  main.replaceChildren(
    state({
      level: "h1",
      label: "404",
      heading: t("item.unknown", { what: asked.slice(0, 80) }),
      text: t("item.unknown.p"),
      more: h("div", { class: "start-find" }, itemSearch()),
    }),
  );
  return true;
}

// ----- an item -----
function show(item) {
  title(item.title || item.item_id);
  const seen = item.lists > 0;
  main.replaceChildren(
    ...[
      h(
        "div",
        { class: "who" },
        h(
          "div",
          null,
          h("h1", { class: "clamp-4", dir: "auto", id: "name" }, item.title || item.item_id),
          h(
            "p",
            { class: "lede" },
            item.engagements
              ? t("item.sub", { n: count(item.engagements), since: day(item.people_first_time) })
              : t("item.sub.none"),
          ),
        ),
        h("div", { class: "who-do" }, itemSearch()),
      ),
      facts(item),
      item.description && h("p", { class: "description clamp-4", dir: "auto" }, item.description),
      seen ? null : nobodySees(item),
      h(
        "div",
        { class: "two" },
        h("div", null, who(item), trend(item), seen ? gatesSection(item) : null),
        h(
          "div",
          null,
          near("nb", t("item.nb"), t("item.nb.p"), item.related, "var(--p-co_occurrence)"),
          near("fw", t("item.fw"), "", item.next, "var(--p-sequence)"),
          near("tx", t("item.tx"), t("item.tx.p"), item.similar, "var(--p-interest)"),
        ),
      ),
    ].filter(Boolean),
  );
}

function facts(item) {
  const pair = (name, ...value) => h("div", null, h("dt", null, name), h("dd", null, value));
  const attributes = Object.entries(item.attributes).slice(0, 6);
  return h(
    "dl",
    { class: "kv" },
    pair(t("item.id"), foreign(item.item_id, { class: "id" })),
    item.price !== null && pair(t("item.price"), price(item.price)),
    item.categories.length ? pair(t("item.cat"), foreign(item.categories.join(" › "), { class: "cut" })) : null,
    item.published_at && pair(t("item.date"), day(item.published_at)),
    pair(t("item.in"), count(item.lists), " ", h("small", null, `/ ${count(item.lists_all)}`)),
    pair(
      t("item.ctr"),
      item.impressions
        ? [
            percent(item.clicks / item.impressions),
            " ",
            h("small", null, t("item.ctr.of", { k: count(item.clicks), n: count(item.impressions) })),
          ]
        : h("small", null, t("item.ctr.none")),
    ),
    item.available ? null : pair(t("item.state"), tag("warn", t("item.off"))),
    attributes.map(([name, value]) => pair(foreign(name), foreign(value, { class: "cut" }))),
  );
}

function who(item) {
  if (!item.lists) return null;
  const body = [
    h("div", { class: "pad" }, histogram(item.places)),
    item.followers.length
      ? h(
          "table",
          null,
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              h("th", { scope: "col" }, t("person")),
              h("th", { scope: "col", class: "n" }, t("rank")),
              h("th", { scope: "col", class: "n" }, t("score")),
            ),
          ),
          h(
            "tbody",
            null,
            item.followers.map((each) =>
              h(
                "tr",
                null,
                h(
                  "td",
                  null,
                  h(
                    "a",
                    { href: pageUrl("index", { user: each.user_id, open: item.item_id }), class: "cut" },
                    foreign(each.user_id),
                  ),
                ),
                h("td", { class: "n num" }, count(each.rank)),
                h("td", { class: "n num" }, fix(each.score, 2)),
              ),
            ),
          ),
        )
      : null,
  ];
  return section("who-h", t("item.who"), t("item.who.p", { n: count(item.lists), m: count(item.lists_all) }), body);
}

// In how many lists it stands at which place.
function histogram(places) {
  const shown = Array.from({ length: Math.max(10, Math.min(20, places.length)) }, (_, i) => places[i] ?? 0);
  const top = Math.max(...shown, 1),
    wide = 400 / shown.length,
    high = (n) => (n / top) * 62;
  const told = shown
    .map((n, i) => (n ? `${i + 1}: ${n}` : ""))
    .filter(Boolean)
    .join(", ");
  return s(
    "svg",
    { "class": "chart", "viewBox": "0 0 400 96", "role": "img", "aria-label": told },
    shown.map((n, i) => [
      s("rect", {
        x: i * wide + 2,
        width: wide - 4,
        y: 74 - high(n),
        height: high(n),
        fill: "var(--p-co_occurrence)",
      }),
      n ? s("text", { "x": (i + 0.5) * wide, "y": 69 - high(n), "text-anchor": "middle" }, count(n)) : null,
      [0, 4, 9, 14, 19].includes(i)
        ? s("text", { "x": (i + 0.5) * wide, "y": 92, "text-anchor": "middle" }, String(i + 1))
        : null,
    ]),
    s("line", { class: "grid", x1: 0, x2: 400, y1: 74.5, y2: 74.5 }),
  );
}

const gatesSection = (item) => {
  const shut = item.gates.filter((gate) => !gate.open).map((gate) => t(`gate.${gate.name}`));
  return h(
    "section",
    { class: "sec" },
    h(
      "details",
      { class: "card gates" },
      h("summary", null, shut.length ? t("item.gates.not", { what: shut.join(comma) }) : t("item.gates")),
      gateSteps(item.gates),
    ),
  );
};

// "hour_6" -> [6, "6 hours"]
function lasting(key) {
  const [, unit, n] = /^(hour|day)_(\d+)$/.exec(key) ?? [];
  if (!unit) return [Infinity, key];
  return [Number(n) * (unit === "day" ? 24 : 1), t(Number(n) === 1 ? `lasts.${unit}` : `lasts.${unit}s`, { n })];
}

function trend(item) {
  const rows = Object.entries(item.recent)
    .map(([key, value]) => [...lasting(key), value])
    .sort((a, b) => a[0] - b[0]);
  const top = Math.max(...rows.map(([, , value]) => value), 1e-9);
  return section(
    "trend-h",
    t("item.trend"),
    t("item.trend.p"),
    h(
      "table",
      null,
      h(
        "tbody",
        null,
        rows.map(([, name, value]) =>
          h(
            "tr",
            null,
            h("td", null, name),
            h("td", { class: "half" }, share(value / top, "var(--p-trend)")),
            h("td", { class: "n num" }, fix(value, 1)),
          ),
        ),
      ),
    ),
  );
}

function near(id, heading, about, items, c) {
  if (!items.length) return section(`${id}-h`, heading, "", h("p", { class: "pad small soft" }, t("item.nonear")));
  const top = Math.max(...items.map((each) => each.score ?? 0), 1e-9);
  return section(
    `${id}-h`,
    heading,
    about,
    h(
      "ul",
      { class: "rows" },
      items
        .slice(0, LONGEST)
        .map((each) =>
          h(
            "li",
            null,
            link(each),
            share((each.score ?? 0) / top, c),
            h("span", { class: "num" }, fix(each.score ?? 0, 3)),
          ),
        ),
    ),
  );
}
