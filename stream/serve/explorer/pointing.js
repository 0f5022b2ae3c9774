// Cause and effect, both ways: pointing at a place shows the behaviours that made it, pointing at a behaviour the
// places it raised. By pointer and by focus.
import { $, $$ } from "./dom.js";
import { addedKey } from "./behaviours.js";
import { signed } from "./language.js";

// Of each place what each behaviour added: Map(item -> Map(key of the behaviour -> contribution)).
export function contributions(items, behaviours, added) {
  const named = new Map(behaviours.map((b) => [`${b.action} ${b.event_time} ${b.item_id}`, b.key]));
  const clicked = new Set(added.map((item) => item.id));
  const newest = new Map(behaviours.map((b) => [`${b.action} ${b.item_id}`, b.key]));
  const keyOf = (cause) =>
    named.get(`${cause.action} ${cause.event_time} ${cause.item_id}`)
    ?? (cause.action === "click" && clicked.has(cause.item_id)
      ? addedKey(cause.item_id)
      : newest.get(`${cause.action} ${cause.item_id}`));
  return new Map(
    items.map((item) => {
      const of = new Map();
      for (const cause of item.causes ?? []) {
        const key = keyOf(cause);
        if (key !== undefined) of.set(key, (of.get(key) ?? 0) + cause.contribution);
      }
      return [item.item_id, of];
    }),
  );
}

// `current()` gives the contributions of what is drawn.
export function pointing(list, rail, current) {
  const place = (id) => {
    const of = id === null ? null : current().get(id);
    for (const row of $$(".did", rail)) {
      const value = of?.get(row.dataset.key);
      row.classList.toggle("lit", value > 0);
      row.classList.toggle("faded", Boolean(of) && value === undefined);
      $(".share", row).textContent = value === undefined ? "" : signed(value);
    }
  };
  const behaviour = (asked) => {
    const key = [...current().values()].some((of) => of.has(asked)) ? asked : null; // what raised nothing fades nothing
    for (const row of $$(".place", list)) {
      const value = key === null ? undefined : current().get(row.dataset.key)?.get(key);
      row.classList.toggle("lit", value > 0);
      row.classList.toggle("faded", key !== null && value === undefined);
    }
  };
  const listen = (container, selector, show) => {
    const on = (event) => {
      const row = event.target.closest?.(selector);
      if (row) show(row.dataset.key);
    };
    const off = (event) => {
      if (event.target.closest?.(selector)) show(null);
    };
    container.addEventListener("pointerover", on);
    container.addEventListener("focusin", on);
    container.addEventListener("pointerout", off);
    container.addEventListener("focusout", off);
  };
  listen(list, ".place", place);
  listen(rail, ".did", behaviour);
}
