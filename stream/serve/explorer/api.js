// Questions to the server. A failed one throws `Failure`, which says what is the case in the server's own words.

// /explorer/api.js -> /v1/: also behind a prefix, and from /you/TOKEN.
const V1 = new URL("../v1/", import.meta.url);
const TIMEOUT_MS = 20_000;
const BUSY_WAITS = 3;

const session = {
  get: (key) => {
    try {
      return sessionStorage.getItem(`penchant.${key}`);
    } catch {
      return null;
    }
  },
  set: (key, value) => {
    try {
      sessionStorage.setItem(`penchant.${key}`, value);
    } catch {
      memory.set(key, value);
    }
  },
};
const memory = new Map();

// A token lives as long as the tab. `admin` is asked for apart from `read`.
export const token = {
  keep: (kind, value) => session.set(`token.${kind}`, value),
  of: (kind) => session.get(`token.${kind}`) ?? memory.get(`token.${kind}`) ?? null,
};

// kind: "gone" (no answer), "slow", "token", "busy", "behind" (503), "missing" (404), "wrong" (400), "broken".
export class Failure extends Error {
  constructor(kind, detail = "", status = 0, field = null) {
    super(detail || kind);
    Object.assign(this, { kind, detail, status, field });
  }
}

const KINDS = {
  400: "wrong",
  401: "token",
  403: "token",
  404: "missing",
  410: "missing",
  413: "wrong",
  422: "wrong",
  429: "busy",
  503: "behind",
};

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });

async function failure(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    /* a proxy's page */
  }
  const kind = KINDS[response.status] ?? "broken";
  return new Failure(kind, problem.detail ?? problem.title ?? "", response.status, problem.field ?? null);
}

// The response itself, for streams; throws Failure.
export async function request(path, { method = "GET", body, admin = false, signal, keepalive = false } = {}) {
  const headers = { Accept: "application/json" };
  const bearer = (admin ? token.of("admin") : null) ?? token.of("read");
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  for (let wait = 0; ; wait++) {
    let response;
    try {
      response = await fetch(new URL(path, V1), {
        method,
        headers,
        signal,
        keepalive,
        cache: "no-store",
        referrerPolicy: "no-referrer",
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new Failure("gone", String(error.message ?? error));
    }
    if (response.ok) return response;
    if (response.status !== 429 || wait >= BUSY_WAITS) throw await failure(response);
    await pause(Math.min(Number(response.headers.get("Retry-After")) || 1, 10) * 1000, signal);
  }
}

async function json(path, options = {}) {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  try {
    return await (await request(path, { ...options, signal })).json();
  } catch (error) {
    if (limit.aborted && !options.signal?.aborted) throw new Failure("slow");
    if (error instanceof SyntaxError || error instanceof TypeError) throw new Failure("gone", error.message);
    throw error;
  }
}

// {a: 1, b: [2, 3], c: undefined} -> "?a=1&b=2&b=3"
const query = (values) => {
  const all = Object.entries(values).flatMap(([k, v]) =>
    v === undefined || v === "" ? [] : [v].flat().map((x) => [k, x]),
  );
  return all.length ? `?${new URLSearchParams(all)}` : "";
};
const id = encodeURIComponent;

export const api = {
  people: (n, signal) => json(`users${query({ n })}`, { signal }),
  person: (user) => json(`users/${id(user)}`),
  list: (user, n) => json(`users/${id(user)}/recommendations${query({ n, explain: true })}`),
  why: (user, rank, item) => json(`users/${id(user)}/recommendations/${rank}/why${query({ item })}`),
  whatIf: (user, body, signal) => json(`users/${id(user)}/what-if`, { method: "POST", body, signal }),
  link: (user) => json(`users/${id(user)}/link`, { method: "POST", admin: true }),
  items: (q, n, signal) => json(`items${query({ q, n })}`, { signal }),
  item: (item) => json(`items/${id(item)}`),
  trending: (n) => json(`trending${query({ n })}`),
  now: () => json("now"),
  nowStream: (signal) => request("now/stream", { signal }),
  rules: () => json("rules"),
  tryRule: (key, rule) => json("rules/try", { method: "POST", body: { key, rule }, admin: true }),
  publish: (key, rule) => json("rules", { method: "PUT", body: { key, rule }, admin: true }),
  you: (link) => json(`you/${id(link)}`),
  eraseMe: (link) => json(`you/${id(link)}/erase`, { method: "POST" }),
  less: (link, items, keepalive = false) =>
    json(`you/${id(link)}/less`, { method: "POST", body: { items }, keepalive }),
};
