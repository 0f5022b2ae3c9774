// What stands where an answer will stand or should have stood: a skeleton after 300 ms, or what is the case, why, and
// the next step. Nobody apologises, nobody is blamed.
import { token } from "./api.js";
import { $, h } from "./dom.js";
import { t } from "./language.js";

export const SKELETON_AFTER_MS = 300;
const AGAIN_AFTER_MS = 2000;

export const tag = (kind, text) => h("span", { class: `tag ${kind}` }, text);

// One state: what, why, next step.
export const state = ({ kind = "", label = "", heading, text = "", more = [], level = "h2" }) =>
  h(
    "section",
    { class: "card state", data: { state: kind } },
    label && tag(kind, label),
    h(level, null, heading),
    text && h("p", null, text),
    more,
  );

export const note = (kind, ...text) => h("p", { class: `note ${kind}` }, ...text);

export const skeleton = (lines = 6) =>
  h(
    "div",
    {
      "class": "card state",
      "aria-busy": "true",
      "aria-label": t("loading"),
      "role": "status",
      "data": { state: "loading" },
    },
    Array.from({ length: lines }, (_, i) =>
      h("span", { class: "skel", style: { width: `${[60, 92, 78, 86, 70][i % 5]}%` } }),
    ),
  );

// A form for the token that the server asks for; `then` is called once it is kept.
function tokenForm(admin, then) {
  const kind = admin ? "admin" : "read",
    field = `token-${kind}`;
  const input = h("input", { id: field, type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const send = (event) => {
    event.preventDefault();
    token.keep(kind, input.value.trim());
    then();
  };
  return h(
    "form",
    { class: "ask", onsubmit: send },
    h("label", { for: field, class: "small" }, t(`token.${kind}`)),
    h(
      "div",
      { class: "row-of" },
      h("span", { class: "field" }, input),
      h("button", { class: "btn solid" }, t("token.send")),
    ),
    h("p", { class: "tiny dim" }, t("token.where")),
  );
}

// The failure of a whole place, with its next step.
export function problem(failure, again, { admin = false, level } = {}) {
  const retry = h("button", { class: "btn", onclick: again }, t("again"));
  const shown = {
    gone: () => ({ kind: "bad", label: t("f.gone.tag"), text: t("f.gone.p", { host: location.host }), more: retry }),
    slow: () => ({ kind: "warn", label: t("f.slow.tag"), text: t("f.slow.p"), more: retry }),
    behind: () => ({
      kind: "warn",
      label: t("f.behind.tag"),
      text: t("f.behind.p"),
      more: [failure.detail && h("p", { class: "why-not", lang: "en" }, failure.detail), retry],
    }),
    busy: () => ({ kind: "warn", label: "429", text: t("f.busy.p"), more: retry }),
    token: () => ({
      label: String(failure.status),
      text: t(admin ? "f.token.admin" : "f.token.p"),
      more: tokenForm(admin, again),
    }),
    missing: () => ({ label: "404", text: failure.detail, more: retry }),
  }[failure.kind]?.() ?? {
    kind: "bad",
    label: String(failure.status || ""),
    text: failure.detail || t("f.broken.p"),
    more: retry,
  };
  const known = ["gone", "slow", "behind", "busy", "missing"].includes(failure.kind);
  const heading =
    failure.kind === "token" && token.of(admin ? "admin" : "read")
      ? "f.token.wrong"
      : known || failure.kind === "token"
        ? `f.${failure.kind}.h`
        : "f.broken.h";
  const made = state({ ...shown, heading: t(heading), level });
  Object.assign(made.dataset, { failure: failure.kind, detail: failure.detail });
  return made;
}

// The same again is left as it stands: whoever is on its button stays there.
export function showProblem(into, failure, again, options) {
  const { failure: kind, detail } = $("[data-failure]", into)?.dataset ?? {};
  const same = kind === failure.kind && detail === failure.detail && kind !== "token";
  if (!same) into.replaceChildren(problem(failure, again, options));
}

const runs = new WeakMap();

// Ask, and draw the answer into `into`; meanwhile a skeleton, on failure the problem. What passes by itself (no
// answer, not caught up) is asked again every two seconds while the page is seen. Of several runs for one place the
// last one counts.
export async function load(into, ask, draw, { admin = false, level, lines, onfailure } = {}) {
  const run = Symbol("run");
  runs.set(into, run);
  const again = () => load(into, ask, draw, { admin, level, lines, onfailure });
  const soon = setTimeout(() => {
    if (runs.get(into) === run && !$("[data-failure]", into)) into.replaceChildren(skeleton(lines));
  }, SKELETON_AFTER_MS);
  try {
    const answer = await ask();
    if (runs.get(into) === run) draw(answer);
  } catch (failure) {
    if (runs.get(into) !== run) return;
    if (!failure.kind) throw failure;
    if (!onfailure?.(failure)) {
      showProblem(into, failure, again, { admin, level });
    }
    if (["gone", "behind", "slow"].includes(failure.kind)) whenSeen(again, () => runs.get(into) === run);
  } finally {
    clearTimeout(soon);
  }
}

function whenSeen(again, still) {
  setTimeout(() => {
    if (!still()) return;
    if (!document.hidden) again();
    else document.addEventListener("visibilitychange", () => still() && again(), { once: true });
  }, AGAIN_AFTER_MS);
}
