// A command to be copied, as it is typed in a terminal.
import { h } from "./dom.js";
import { t } from "./language.js";

// What to do where nothing was read yet.
export const REPLAY =
  "penchant replay events.csv --map user_id=CustomerID,item_id=StockCode,action=:purchase,event_time=InvoiceDate";

// One word for a POSIX shell.
export const word = (text) =>
  /^[\w@%+=:,./-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`;

export function command(text) {
  const button = h("button", { class: "ghost", type: "button", data: { part: "copy" } }, t("copy"));
  const code = h("code", { "dir": "ltr", "tabindex": "0", "role": "group", "aria-label": t("copy.label") }, text);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = t("copied");
    } catch {
      // not allowed, or no https: then it is at least selected
      getSelection().selectAllChildren(code);
      button.textContent = t("copy.selected");
    }
  });
  return h("div", { class: "cli" }, code, button);
}
