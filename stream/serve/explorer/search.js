// The two searches: a person among those active lately, or by id; an item by its title or id.
import { api } from "./api.js";
import { combobox } from "./combobox.js";
import { pageUrl } from "./frame.js";
import { moment, t } from "./language.js";

const goTo = (page, query) => location.assign(new URL(pageUrl(page, query), location.href));
const LATELY = 50;

export function personSearch() {
  const find = async (text, signal) => {
    const { people } = await api.people(LATELY, signal);
    const fits = people.filter((each) => each.user_id.toLowerCase().includes(text.toLowerCase()));
    return fits.slice(0, 8).map((each) => ({ id: each.user_id, title: each.user_id, note: moment(each.last_seen) }));
  };
  const { box } = combobox({
    label: t("find"),
    drawing: "person",
    search: true,
    find,
    empty: t("find.nobody"),
    choose: (found) => goTo("index", { user: found.id }),
    submit: (text) => goTo("index", { user: text }),
  });
  return box;
}

const found = ({ items }) => items.map((item) => ({ id: item.item_id, title: item.title, note: item.item_id }));
export const findItems = async (text, signal) => found(await api.items(text, 8, signal));

export function itemSearch() {
  const { box } = combobox({
    label: t("search.item"),
    search: true,
    find: findItems,
    empty: t("find.nothing"),
    choose: (item) => goTo("item", { item: item.id }),
  });
  return box;
}
