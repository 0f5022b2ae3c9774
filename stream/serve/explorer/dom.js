// Elements without HTML strings: texts go in as texts, so that no title can become markup, and styles by the CSSOM, so
// that the page needs no inline style.

const SVG = "http://www.w3.org/2000/svg";

// The first element that fits, and all of them.
export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

const set = (element, name, value) => {
  if (value === undefined || value === null || value === false) return;
  if (name === "style") {
    for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
  } else if (name === "data") {
    for (const [key, each] of Object.entries(value)) if (each !== undefined) element.dataset[key] = each;
  } else if (name.startsWith("on")) {
    element.addEventListener(name.slice(2), value);
  } else {
    element.setAttribute(name, value === true ? "" : value);
  }
};

const make = (element, props, children) => {
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

// h("p", { class: "small", onclick: f }, "text", h("b", null, "more")): lists are flattened, nothing is left out.
export const h = (tag, props, ...children) => make(document.createElement(tag), props, children);

// The same in SVG.
export const s = (tag, props, ...children) => make(document.createElementNS(SVG, tag), props, children);

// A text of somebody else: a title, an id, the words of a query. Its direction is its own.
export const foreign = (text, props, tag = "bdi") => h(tag, { dir: "auto", ...props }, text);

// A sentence of the copy deck with elements in it: fill("Without {what}.", { what: element }) -> nodes.
export const fill = (text, values) =>
  text.split(/(\{\w+\})/).map((bit) => {
    const name = /^\{(\w+)\}$/.exec(bit)?.[1];
    return name === undefined ? bit : (values[name] ?? "");
  });

// Put these in place of what was there. What had the focus has it again, if it is still there: found by `data-key` and
// role.
export function redraw(container, ...nodes) {
  const active = container.contains(document.activeElement) ? document.activeElement : null;
  const key = active?.closest("[data-key]")?.dataset.key;
  const part = active?.dataset.part;
  container.replaceChildren(...nodes.flat(9).filter(Boolean));
  if (key === undefined) return;
  const holder = $(`[data-key="${CSS.escape(key)}"]`, container);
  const again = part === undefined ? null : holder && $(`[data-part="${part}"]`, holder);
  (again ?? (holder?.matches("button, input, a") ? holder : holder && $("button, a, input", holder)))?.focus({
    preventScroll: true,
  });
}

// Whether things may move.
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const isTyping = (target) => /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
