// The page: products, the list, what was done. Titles and reasons are other people's words: they become text, never HTML.

const TEXT = {
  en: {
    brand: "A shop that follows", somebody_else: "Be somebody else", other_language: "中文", skip: "Skip to your list",
    products: "Look around", search: "Search the shop", lead: "Click something: the list answers.",
    nothing_found: "Nothing of that name.", list: "For you", no_list: "There is no list yet.", buy: "Buy", less: "Not for me",
    log: "What the shop told Penchant", nothing_sent: "Nothing yet.", fresh: (ms) => `followed you in ${ms} ms`,
    waiting: "on its way …", late: "not there yet; asking again", newcomer: "what newcomers like", known: "from what you did",
    entered: "new here", up: (n) => `▲ ${n}`, down: (n) => `▼ ${n}`, promoted: "promoted",
    moved: (n, first) => `Your list changed in ${n} ${n === 1 ? "place" : "places"}. First now: ${first}.`, same: "Your list stays as it is.",
    place: (slot) => `place ${slot} of the list`, shop: "in the shop", seen: (n) => `${n} ${n === 1 ? "place" : "places"} seen`,
    actions: { click: "click", purchase: "purchase", dislike: "dislike", impression: "impression" },
    buy_what: (title) => `Buy ${title}`, less_what: (title) => `Not for me: ${title}`,
  },
  zh: {
    brand: "懂你的小店", somebody_else: "换一个人", other_language: "English", skip: "跳到你的推荐",
    products: "随便看看", search: "搜索商品", lead: "点一件商品，推荐列表马上跟着变。",
    nothing_found: "没有这样的商品。", list: "为你推荐", no_list: "还没有推荐。", buy: "购买", less: "不感兴趣",
    log: "小店告诉 Penchant 的", nothing_sent: "还没有。", fresh: (ms) => `${ms} 毫秒后已更新`,
    waiting: "更新中……", late: "还没好，正在再问一次", newcomer: "新访客喜欢的", known: "根据你的行为",
    entered: "新上榜", up: (n) => `▲ ${n}`, down: (n) => `▼ ${n}`, promoted: "推广",
    moved: (n, first) => `列表有 ${n} 处变化，现在第一位是“${first}”。`, same: "列表没有变化。",
    place: (slot) => `列表第 ${slot} 位`, shop: "在小店里", seen: (n) => `看到了 ${n} 个位置`,
    actions: { click: "点击", purchase: "购买", dislike: "不感兴趣", impression: "曝光" },
    buy_what: (title) => `购买“${title}”`, less_what: (title) => `不感兴趣：“${title}”`,
  },
};
const SEEN_MS = 1000; // half visible for so long is an impression
const SAID_MS = 6000;
const TRIES = 5;
const LOG_LINES = 8;

const $ = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
let lang = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let shown = null; // the list on the page
let products = [];
let newest = 0; // of the questions for a list; older answers are thrown away

const t = (name, ...args) => (typeof TEXT[lang][name] === "function" ? TEXT[lang][name](...args) : TEXT[lang][name]);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function ask(path, body) {
  const answer = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({ detail: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new Error(said.detail);
  return said;
}

function guarded(act) {
  return async (...args) => {
    try {
      const result = await act(...args);
      $("trouble").hidden = true;
      return result;
    } catch (error) {
      $("trouble").textContent = error.message;
      $("trouble").hidden = false;
    }
  };
}

// --- what is on the page -------------------------------------------------------------------------

function picture(item) {
  let hash = 0;
  for (const letter of item.item_id) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  const words = item.title.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const tile = element("span", { className: "picture", ariaHidden: "true" }, words.slice(0, 2).map((word) => [...word][0]).join(""));
  tile.style.setProperty("--hue", hash);
  return tile;
}

function price(item) {
  if (item.price == null) return null;
  const text = new Intl.NumberFormat(lang, { minimumFractionDigits: 2 }).format(item.price);
  return element("span", { className: "price" }, text);
}

function button(className, text, label, act) {
  const made = element("button", { type: "button", className }, text);
  if (label) made.ariaLabel = label;
  made.addEventListener("click", act);
  return made;
}

function showProducts() {
  $("products").replaceChildren(...products.map((item) => {
    const look = button("look", "", null, () => done("click", item));
    look.append(picture(item), element("span", { className: "title" }, item.title));
    const buy = button("do", t("buy"), t("buy_what", item.title), () => done("purchase", item));
    return element("li", { className: "product" }, look, element("div", { className: "foot" }, price(item), buy));
  }));
  $("nothing-found").hidden = products.length > 0;
}

function place(item, rank, before) {
  const was = before.get(item.item_id);
  const badge = (text) => element("span", { className: "badge" }, text);
  const moved = before.size === 0 ? null : was === undefined ? badge(t("entered"))
    : was > rank ? badge(t("up", was - rank)) : was < rank ? badge(t("down", rank - was)) : null;
  const from = { ...item, recommendation_id: shown.recommendation_id };
  const made = element("li", { className: "place" },
    element("span", { className: "rank" }, String(rank)),
    button("look", item.title, null, () => done("click", from)),
    element("p", { className: "reason" }, item.reason?.[lang] ?? item.reason?.en ?? ""),
    element("div", { className: "foot" }, price(item),
      button("do buy", t("buy"), t("buy_what", item.title), () => done("purchase", from)),
      button("do", t("less"), t("less_what", item.title), () => done("dislike", from)),
      item.promoted ? badge(t("promoted")) : null, moved));
  made.dataset.item = item.item_id;
  return made;
}

function showList(answer, before = new Map()) {
  const list = $("list");
  const tops = new Map([...list.children].map((row) => [row.dataset.item, row.getBoundingClientRect().top]));
  const focused = list.contains(document.activeElement) ? document.activeElement.closest(".place").dataset.item : null;
  shown = answer;
  list.replaceChildren(...answer.items.map((item, i) => place(item, i + 1, before)));
  $("no-list").hidden = answer.items.length > 0;
  // Who was in the list with the keyboard stays in it.
  if (focused !== null) ([...list.children].find((row) => row.dataset.item === focused)?.querySelector(".look") ?? list).focus();
  watch(list.children);
  if (still.matches) return;
  for (const row of list.children) {
    const top = tops.get(row.dataset.item);
    const from = top === undefined ? { opacity: 0, transform: "translateX(1.5rem)" }
      : { transform: `translateY(${top - row.getBoundingClientRect().top}px)` };
    row.animate([from, { opacity: 1, transform: "none" }], { duration: 420, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}

function state(kind, text) {
  $("state").dataset.state = kind;
  $("state").textContent = text;
}

let silence;
function say(sentence) {
  $("said").textContent = sentence;
  clearTimeout(silence);
  silence = setTimeout(() => { $("said").textContent = ""; }, SAID_MS);
}

function tell(action, detail) {
  const line = element("li", {}, element("span", { className: "action" }, t("actions")[action]), element("span", {}, detail));
  $("sent").prepend(line);
  while ($("sent").children.length > LOG_LINES) $("sent").lastChild.remove();
  $("nothing-sent").hidden = true;
}

// --- what is done, and the list that reflects it -------------------------------------------------------

const done = guarded(async (action, item) => {
  const began = performance.now();
  state("waiting", t("waiting"));
  const listed = item.recommendation_id ? { recommendation_id: item.recommendation_id, slot: item.slot } : {};
  const { offset } = await ask("/api/events", [{ action, item_id: item.item_id, ...listed }]);
  tell(action, `${item.title} · ${listed.slot ? t("place", listed.slot) : t("shop")}`);
  await follow(offset, began);
});

async function follow(offset, began) {
  const question = ++newest;
  for (let i = 0; i < TRIES; i++) {
    const answer = await ask(`/api/list?after=${offset}`);
    if (question !== newest) return; // something else was done meanwhile
    if (answer.fresh) return arrive(answer, Math.round(performance.now() - began));
    state("waiting", t("late"));
  }
  throw new Error(t("late"));
}

function arrive(answer, ms) {
  const before = new Map((shown?.items ?? []).map((item, i) => [item.item_id, i + 1]));
  const changed = answer.items.filter((item, i) => before.get(item.item_id) !== i + 1).length;
  showList(answer, before);
  state("fresh", t("fresh", ms));
  say(changed && answer.items.length ? t("moved", changed, answer.items[0].title) : t("same"));
}

const start = guarded(async () => {
  $("list").replaceChildren();
  const question = ++newest;
  const answer = await ask("/api/list");
  if (question !== newest) return;
  showList(answer);
  state("", t(answer.known ? "known" : "newcomer"));
});

const search = guarded(async () => {
  const found = await ask(`/api/products?q=${encodeURIComponent($("q").value.trim())}`);
  products = found.items;
  showProducts();
});

// --- impressions: which places were really seen ----------------------------------------------------

const timers = new Map();
const told = new Set();
let seen = [];

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    clearTimeout(timers.get(target));
    timers.delete(target);
    if (isIntersecting && shown !== null) {
      const { recommendation_id } = shown;
      const item = shown.items.find((each) => each.item_id === target.dataset.item);
      if (item) timers.set(target, setTimeout(() => see(recommendation_id, item), SEEN_MS));
    }
  }
}, { threshold: 0.5 });

function watch(rows) {
  observer.disconnect();
  for (const timer of timers.values()) clearTimeout(timer);
  timers.clear();
  for (const row of rows) observer.observe(row);
}

function see(recommendation_id, item) {
  const name = `${recommendation_id} ${item.item_id}`;
  if (told.has(name)) return;
  told.add(name);
  if (seen.push({ action: "impression", item_id: item.item_id, recommendation_id, slot: item.slot }) === 1) {
    setTimeout(sendSeen, 200); // what was seen together goes together
  }
}

const sendSeen = guarded(async () => {
  const together = seen;
  seen = [];
  await ask("/api/events", together);
  tell("impression", t("seen", together.length));
});

// --- language, and the beginning --------------------------------------------------------------------------

function speak() {
  document.documentElement.lang = lang;
  document.title = t("brand");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = t(node.dataset.placeholder);
  $("language").textContent = t("other_language");
  $("language").lang = lang === "en" ? "zh" : "en";
}

$("language").addEventListener("click", () => {
  lang = lang === "en" ? "zh" : "en";
  localStorage.setItem("language", lang);
  speak();
  showProducts();
  if (shown) showList(shown);
  if ($("state").dataset.state === "") state("", t(shown?.known ? "known" : "newcomer"));
});
$("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
let typing;
$("q").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
$("somebody-else").addEventListener("click", guarded(async () => {
  await ask("/api/somebody-else", {});
  location.reload(); // the page brings a new cookie
}));

speak();
search();
start();
