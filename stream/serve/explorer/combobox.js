// A field that offers what fits while one types (ARIA combobox with a list). The last question counts.
import { $$, foreign, h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./language.js";

const TYPING_MS = 120;
let made = 0;

// find(text, signal) -> [{ id, title, note }]; choose(found); submit(text): Enter on what is not in the list.
export function combobox({ label, drawing = "query", find, choose, submit = null, search = false, empty }) {
  const id = `box-${++made}`;
  let found = [],
    foundFor = null,
    at = -1,
    timer = 0,
    control = null;
  const menu = h("ul", {
    "class": "menu",
    "id": `${id}-menu`,
    "role": "listbox",
    "aria-label": label,
    "hidden": true,
  });
  const input = h("input", {
    id,
    "role": "combobox",
    "type": "text",
    "aria-expanded": "false",
    "aria-controls": menu.id,
    "aria-autocomplete": "list",
    "autocomplete": "off",
    "spellcheck": "false",
    "maxlength": 200,
    "placeholder": label,
    "aria-label": label,
    "data": { search: search ? "1" : undefined },
  });
  const said = h("p", { class: "vh", role: "status" });
  const box = h(
    "div",
    { class: "combo" },
    h("div", { class: "field" }, icon(drawing), input, search && h("kbd", { "aria-hidden": "true" }, "/")),
    menu,
    said,
  );

  const close = () => {
    menu.hidden = true;
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    clearTimeout(timer);
    control?.abort();
  };
  const mark = () =>
    $$("[role=option]", menu).forEach((option, i) => {
      option.setAttribute("aria-selected", String(i === at));
      if (i === at) {
        input.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      }
    });
  const show = (nodes, told) => {
    menu.replaceChildren(...nodes);
    menu.hidden = nodes.length === 0;
    said.textContent = told;
    input.setAttribute("aria-expanded", String(nodes.length > 0));
  };
  const message = (text) => {
    found = [];
    show(
      [h("li", { "class": "dim", "role": "option", "aria-disabled": "true", "aria-selected": "false" }, text)],
      text,
    );
  };
  const option = (each, i) =>
    h(
      "li",
      { "role": "option", "id": `${id}-${i}`, "aria-selected": "false", "data": { i: String(i) } },
      foreign(each.title || each.id, { class: "cut" }, "span"),
      each.note && foreign(each.note, { class: "dim tiny cut" }, "span"),
    );

  async function look() {
    control?.abort();
    const mine = (control = new AbortController());
    try {
      const answer = await find(input.value.trim(), mine.signal);
      if (mine.signal.aborted) return;
      [found, foundFor, at] = [answer, input.value.trim(), -1];
      input.removeAttribute("aria-activedescendant");
      if (found.length) show(found.map(option), t("find.n", { n: found.length }));
      else if (input.value.trim() && submit) show([], "");
      else message(empty);
    } catch (failure) {
      if (!mine.signal.aborted) message(failure.kind === "token" ? t("f.token.h") : t("find.failed"));
    }
  }
  const take = (each) => {
    close();
    input.value = "";
    choose(each);
  };

  async function takeFirst(text) {
    // Enter may come before the list does
    if (foundFor !== text) await look();
    if (foundFor === text && found.length) take(found[0]);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, TYPING_MS);
  });
  input.addEventListener("click", () => {
    if (menu.hidden) look();
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return; // Chinese is being typed
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (menu.hidden) return void look();
      const step = event.key === "ArrowDown" ? 1 : -1;
      at = found.length ? (at + step + found.length + (at < 0 && step < 0 ? 1 : 0)) % found.length : -1;
      mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const text = input.value.trim();
      if (at >= 0) take(found[at]);
      else if (submit && text) {
        close();
        submit(text);
      } else if (text) takeFirst(text);
    } else if (event.key === "Escape" && !menu.hidden) {
      event.stopPropagation();
      close();
    }
  });
  menu.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the field keeps the focus
    const i = event.target.closest("[data-i]")?.dataset.i;
    if (i !== undefined) take(found[Number(i)]);
  });
  return { box, input };
}
