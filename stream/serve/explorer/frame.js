// What stands around every page: the way to the others, language, theme, and the foot.
import { $, h, isTyping } from "./dom.js";
import { icon, mark } from "./icons.js";
import { lang, t, zh } from "./language.js";

const PAGES = [
  ["person", "index"],
  ["now", "now"],
  ["item", "item"],
  ["policy", "policy"],
];

// Pages are beside each other, also seen from /you/TOKEN.
export const pageUrl = (page, query = {}) => {
  const asked = new URLSearchParams(query).toString();
  return `../explorer/${page}.html${asked ? `?${asked}` : ""}`;
};

const keep = (key, value) => {
  try {
    localStorage.setItem(`penchant.${key}`, value);
  } catch {
    /* a private window: for this page only */
  }
};

function changeLanguage() {
  keep("lang", zh ? "en" : "zh");
  const url = new URL(location.href);
  url.searchParams.set("lang", zh ? "en" : "zh");
  location.assign(url);
}

function changeTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  keep("theme", root.dataset.theme);
}

// Draw the frame. `own`: the page of a person themselves, without the operator's navigation.
export function frame(page, { own = false } = {}) {
  const link = ([key, file]) =>
    h("a", { "href": pageUrl(file), "aria-current": key === page ? "page" : null }, t(`nav.${key}`));
  const other = zh ? "en" : "zh-CN";
  const top = h(
    "header",
    { class: "top" },
    h(
      "div",
      null,
      own
        ? h("span", { class: "brand" }, mark(), t("nav.you"))
        : h("a", { class: "brand", href: pageUrl("index") }, mark(), "Penchant"),
      own ? h("span", { class: "room" }) : h("nav", { "aria-label": t("nav.main") }, PAGES.map(link)),
      h(
        "div",
        { class: "prefs" },
        h(
          "button",
          { "class": "ghost", "id": "lang", "lang": other, "aria-label": t("lang.title"), "onclick": changeLanguage },
          t("lang"),
        ),
        h(
          "button",
          { "class": "ghost", "id": "theme", "aria-label": t("theme"), "title": t("theme"), "onclick": changeTheme },
          icon("sun"),
        ),
      ),
    ),
  );
  const foot = h(
    "footer",
    { class: "foot" },
    t(own ? "foot.you" : "foot"),
    own ? null : [" ", h("a", { href: "../openapi.json" }, t("foot.api"))],
  );
  document.body.prepend(h("a", { class: "skip", href: "#main" }, t("skip")), top);
  document.body.append(foot);
  $("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  title(t(`nav.${page}`));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || isTyping(event.target) || event.ctrlKey || event.metaKey) return;
    const search = $("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  });
  return lang;
}

export const title = (text) => {
  document.title = `${text.slice(0, 80)} · Penchant`;
};
