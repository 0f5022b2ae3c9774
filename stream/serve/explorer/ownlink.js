// A signed link to the person's own page, made when asked for; it needs the admin token.
import { api } from "./api.js";
import { command } from "./copying.js";
import { h } from "./dom.js";
import { clock, day, t } from "./language.js";
import { load } from "./states.js";

export function ownLink(user) {
  const place = h("div", { "class": "own-link", "aria-live": "polite" });
  const make = () =>
    load(
      place,
      () => api.link(user),
      ({ path, expires_at }) => {
        const url = new URL(path, location.origin);
        place.replaceChildren(
          h(
            "p",
            { class: "small soft" },
            t("link.p", { when: `${day(expires_at)} ${clock(expires_at)}` }),
            " ",
            h("a", { href: url.href }, t("link.open")),
          ),
          command(url.href),
        );
      },
      { admin: true, level: "h2", lines: 2 },
    );
  return { button: h("button", { class: "ghost", onclick: make }, t("link.make")), place };
}
