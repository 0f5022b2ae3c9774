// The page of a person before anybody is chosen: who was active lately.
import { api } from "./api.js";
import { command, REPLAY } from "./copying.js";
import { foreign, h } from "./dom.js";
import { pageUrl } from "./frame.js";
import { icon } from "./icons.js";
import { moment, t } from "./language.js";
import { personSearch } from "./search.js";
import { load, state, tag } from "./states.js";

export const peopleList = (people) =>
  h(
    "ul",
    { class: "card people" },
    people.map((each) =>
      h(
        "li",
        null,
        h(
          "a",
          { href: pageUrl("index", { user: each.user_id }) },
          icon("person"),
          foreign(each.user_id, { class: "cut" }),
          h("span", { class: "small dim num" }, moment(each.last_seen)),
          each.listed ? null : tag("", t("not.listed")),
          icon("later"),
        ),
      ),
    ),
  );

const nobody = () => state({ heading: t("nobody.h"), text: t("nobody.p"), more: command(REPLAY) });

export function lately(main) {
  const place = h("div");
  main.replaceChildren(
    h(
      "div",
      { class: "letter" },
      h("h1", { class: "say" }, t("start.h")),
      h("p", { class: "lede" }, t("start.p")),
      h("div", { class: "start-find" }, personSearch()),
      h("section", { class: "sec" }, h("h2", null, t("start.now")), place),
    ),
  );
  load(
    place,
    () => api.people(12),
    ({ people }) => place.replaceChildren(people.length ? peopleList(people) : nobody()),
    { level: "h3" },
  );
}
