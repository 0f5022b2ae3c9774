// The page of a person themselves, behind a signed link: what is thought of them, since when and why, and "less of
// this".
import { api } from "./api.js";
import { $, foreign, h } from "./dom.js";
import { frame, title } from "./frame.js";
import { icon } from "./icons.js";
import { count, day, said, shortDay, t, words } from "./language.js";
import { sentence } from "./places.js";
import { sending } from "./sending.js";
import { load, state } from "./states.js";

const LEVELS = { strong: 3, some: 2, little: 1 };
const SHOWN = 6; // places of their list

frame("you", { own: true });
title(t("nav.you"));
const main = $("#main");
const link = decodeURIComponent(location.pathname.split("/").filter(Boolean).at(-1) ?? "");
const beliefs = new Map(); // item -> { belief, row, status: "held" | "sent" | "failed" | undefined }

load(main, () => api.you(link), show, { level: "h1", onfailure: expired });

const outbox = sending(async (id, items, leaving) => {
  const one = beliefs.get(id);
  try {
    await api.less(link, items, leaving);
    one.status = "sent";
  } catch (failure) {
    one.status = failure.kind === "token" || failure.kind === "missing" ? "expired" : "failed";
  }
  drawBelief(one);
});

// A link that does not open is no fault of whoever holds it.
function expired(failure) {
  if (!["token", "missing", "wrong"].includes(failure.kind)) return false;
  main.replaceChildren(
    h("div", { class: "letter" }, state({ level: "h1", heading: t("expired.h"), text: t("expired.p") })),
  );
  return true;
}

function show(you) {
  const rows = you.likes.map((belief) => {
    const one = { belief, row: h("div", { class: "belief", data: { key: belief.item_id } }), status: undefined };
    beliefs.set(belief.item_id, one);
    drawBelief(one);
    return one.row;
  });
  const section = (key, ...body) => h("section", { class: "sec" }, h("h2", null, t(key)), body);
  main.replaceChildren(
    h(
      "div",
      { class: "letter" },
      h("h1", { class: "say" }, t("you.h")),
      h("p", { class: "lede" }, t("you.p")),
      you.behaviours
        ? h(
            "p",
            { class: "small soft after" },
            t("you.from", { n: count(you.behaviours), first: day(you.first_seen), last: day(you.last_seen) }),
          )
        : null,
      rows.length
        ? h("div", { class: "card beliefs" }, rows)
        : state({ heading: t("you.none.h"), text: t("you.none.p") }),
      you.dislikes.length ? section("you.not", h("div", { class: "card" }, you.dislikes.map(disliked))) : null,
      you.list.items.length
        ? section("you.list", h("ol", { class: "card steps" }, you.list.items.slice(0, SHOWN).map(listed)))
        : null,
      section(
        "you.used",
        h(
          "ul",
          { class: "card steps" },
          ["you.used.1", "you.used.2", "you.used.3"].map((key) =>
            h("li", { class: "yes" }, icon("yes"), h("span", null, t(key))),
          ),
        ),
      ),
      section("you.forget", forgetting()),
    ),
  );
}

// Asked twice: it cannot be undone.
function forgetting() {
  const box = h("div", { class: "belief" });
  const button = (key, act, cls = "btn") => h("button", { class: cls, onclick: act }, t(key));
  const ask = (focus) => {
    box.replaceChildren(
      h("p", null, t("you.forget.p")),
      h("div", { class: "acts" }, button("you.forget.do", sure)),
    );
    if (focus) box.querySelector("button").focus();
  };
  const sure = () => {
    box.replaceChildren(
      h("p", { role: "alert" }, t("you.forget.sure")),
      h("div", { class: "acts" }, button("you.forget.yes", forget), button("you.forget.no", () => ask(true))),
    );
    box.querySelector("button:last-of-type").focus();
  };
  const forget = async () => {
    try {
      const sent = await api.eraseMe(link);
      const text = h("p", null, t("you.forgotten.p"), " ", h("code", null, sent.request_id));
      const heading = h("h1", { class: "say", tabindex: "-1" }, t("you.forgotten.h"));
      main.replaceChildren(h("div", { class: "letter" }, heading, text));
      heading.focus();
    } catch (failure) {
      if (expired(failure)) return;
      box.replaceChildren(h("p", { role: "alert" }, t("you.forget.failed")), h("div", { class: "acts" }, button("again", forget)));
    }
  };
  ask(false);
  return h("div", { class: "card beliefs" }, box);
}

function strength(belief) {
  const level = LEVELS[belief.strength];
  return h(
    "span",
    { class: "strength" },
    [1, 2, 3].map((i) => h("i", { class: i <= level ? "on" : null })),
    ` ${t(`you.${belief.strength}`)} · ${t("you.since", { t: shortDay(belief.since) })}`,
  );
}

function drawBelief(one) {
  const { belief, row, status } = one,
    name = () => foreign(belief.title || belief.item_id, { class: "name" });
  const had = row.contains(document.activeElement);
  row.className = `belief${status ? " gone-soft" : ""}`;
  const button = (key, act, cls = "btn") =>
    h(
      "button",
      { "class": cls, "onclick": act, "aria-label": `${t(key)}: ${belief.title || belief.item_id}` },
      t(key),
    );
  const less = () => {
    one.status = "held";
    outbox.put(belief.item_id, belief.members.length ? belief.members : [belief.item_id]);
    drawBelief(one);
  };
  const undo = () => {
    if (outbox.undo(belief.item_id)) {
      one.status = undefined;
      drawBelief(one);
    }
  };
  const parts =
    {
      held: () => [
        h("p", { role: "status" }, words("you.held", { t: name() })),
        h(
          "div",
          { class: "acts" },
          button("you.undo", undo),
          button("you.send", () => outbox.now(belief.item_id), "btn"),
        ),
      ],
      sent: () => [h("p", { role: "status", tabindex: "-1" }, words("you.sent", { t: name() }))],
      failed: () => [
        h("p", { role: "alert" }, words("you.failed", { t: name() })),
        h("div", { class: "acts" }, button("again", less)),
      ],
      expired: () => [h("p", { role: "alert", tabindex: "-1" }, t("expired.h"), ". ", t("expired.p"))],
    }[status]
    ?? (() => [
      h(
        "h2",
        null,
        h("small", { class: "small" }, t("you.like")),
        foreign(belief.title || belief.item_id, { class: "clamp-3" }, "span"),
      ),
      strength(belief),
      h(
        "div",
        { class: "belief-why" },
        h("p", { class: "voice clamp-4" }, sentence(said(belief.why))),
        h("div", { class: "acts" }, button("you.less", less)),
      ),
    ]);
  row.replaceChildren(...parts());
  if (had) ($("button", row) ?? $("[tabindex]", row))?.focus();
}

const disliked = (belief) =>
  h(
    "div",
    { class: "belief" },
    h("h2", null, foreign(belief.title || belief.item_id, { class: "clamp-3" }, "span")),
    h("span", { class: "strength" }, t("you.since", { t: shortDay(belief.since) })),
    h("p", { class: "voice clamp-4" }, sentence(said(belief.why))),
  );

const listed = (item) =>
  h(
    "li",
    null,
    h("span", { class: "dim num" }, count(item.rank)),
    h(
      "div",
      null,
      foreign(item.title || item.item_id, { class: "clamp-3 strong" }, "span"),
      said(item.reason) && h("p", { class: "voice clamp-4" }, sentence(said(item.reason))),
    ),
  );
