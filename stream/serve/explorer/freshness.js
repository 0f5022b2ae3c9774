// The chart of the last minute: half of the lists are this fresh, and 99 of 100. Logarithmic, from 10 ms to 5 min.
import { h, s } from "./dom.js";
import { duration, t } from "./language.js";

const HIGH = 190,
  LEFT = 58,
  LOW_MS = 10,
  TOP_MS = 300_000,
  N = 60;
const GRID = [100, 1000, 10_000, 60_000, 300_000];

const y = (ms) => HIGH - 18 - (Math.log(Math.max(ms, LOW_MS) / LOW_MS) / Math.log(TOP_MS / LOW_MS)) * (HIGH - 34);

export function freshnessChart() {
  const box = h("div", { class: "chart-box" });
  const draw = (rows) => {
    const wide = Math.max(240, box.clientWidth || 600);
    const x = (i) => LEFT + ((i + N - rows.length) / (N - 1)) * (wide - LEFT - 6);
    const line = (key, cls) => {
      let path = "",
        up = false;
      rows.forEach((row, i) => {
        const value = row.freshness[key];
        if (value === null) {
          up = false;
          return;
        }
        path += `${up ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
        up = true;
      });
      const last = rows.at(-1)?.freshness[key] ?? null;
      return [
        s("path", { class: cls, d: path || "M0 0" }),
        last !== null && s("circle", { class: `${cls} dot`, cx: x(rows.length - 1), cy: y(last), r: 3 }),
      ];
    };
    const { p50_ms: p50, p99_ms: p99 } = rows.at(-1)?.freshness ?? { p50_ms: null, p99_ms: null };
    const told = p50 === null ? t("now.nolists") : `p50 ${duration(p50)}, p99 ${duration(p99 ?? p50)}`;
    box.replaceChildren(
      s(
        "svg",
        { "class": "chart", "viewBox": `0 0 ${wide} ${HIGH}`, "height": HIGH, "role": "img", "aria-label": told },
        GRID.map((ms) => [
          s("line", { class: "grid", x1: LEFT, x2: wide, y1: y(ms), y2: y(ms) }),
          s("text", { "x": LEFT - 8, "y": y(ms) + 4, "text-anchor": "end" }, duration(ms)),
        ]),
        line("p99_ms", "l99"),
        line("p50_ms", "l50"),
      ),
    );
  };
  return { box, draw };
}
