// Interests by text: points in the cells that the server gives them, so that none ever wanders; size is weight, lines
// join what reads alike. Drawn again for each answer, points stay the same elements.
import { h, s } from "./dom.js";
import { fix, t } from "./language.js";

const COLUMNS = 3,
  ROWS = 4,
  WIDE = 320,
  HIGH = 290,
  BIG = 26,
  LABEL = 17;

const x = (point) => ((point.column + 0.5) / COLUMNS) * WIDE;
const y = (point) => ((point.row + 0.5) / ROWS) * HIGH - 8;
const wide = (c) => (/[\u2e80-\uffef]/.test(c) ? 2 : 1);

// At most two lines of about 17 columns, broken at a space where there is one.
function labelLines(text) {
  const lines = [""];
  let room = LABEL;
  for (const word of text.slice(0, 60).split(/(?<=\s)/)) {
    const need = [...word].reduce((sum, c) => sum + wide(c), 0);
    if (need > room && lines.at(-1) !== "" && lines.length < 2) {
      lines.push("");
      room = LABEL;
    }
    for (const c of word) {
      if ((room -= wide(c)) < 0) return [...lines.slice(0, -1), `${lines.at(-1).trimEnd()}…`];
      lines[lines.length - 1] += c;
    }
  }
  return lines.map((line) => line.trim()).filter(Boolean);
}

function node() {
  const circle = s("circle"),
    text = s("text", { "text-anchor": "middle" }),
    title = s("title");
  return { g: s("g", { class: "node" }, circle, text, title), circle, text, title };
}

export function graph(nameOf) {
  const nodes = new Map(),
    lines = s("g"),
    points = s("g");
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img" }, lines, points);
  const empty = h("p", { class: "small dim pad-x" }, t("int.none"));
  const box = h("div", { class: "graph" }, svg);

  function draw(picture) {
    const heaviest = Math.max(...picture.points.map((p) => Math.abs(p.weight)), 1e-9);
    const here = new Set(picture.points.map((p) => p.item_id));
    for (const [id, { g, circle }] of nodes) {
      if (!here.has(id)) {
        g.classList.add("absent");
        circle.style.setProperty("r", "0px");
      }
    }
    for (const point of picture.points) {
      const id = point.item_id;
      if (!nodes.has(id)) {
        nodes.set(id, node());
        points.append(nodes.get(id).g);
      }
      const { g, circle, text, title } = nodes.get(id);
      const r = Math.max(3, BIG * Math.sqrt(Math.abs(point.weight) / heaviest));
      g.setAttribute(
        "class",
        `node${point.weight < 0 ? " neg" : ""}${Math.abs(point.weight) > 0.6 * heaviest ? " main" : ""}`,
      );
      circle.setAttribute("cx", x(point));
      circle.setAttribute("cy", y(point));
      circle.style.setProperty("r", `${r.toFixed(1)}px`);
      text.setAttribute("y", y(point) + r + 12);
      text.replaceChildren(
        ...labelLines(point.title || id).map((line, i) => s("tspan", { x: x(point), dy: i ? 13 : 0 }, line)),
      );
      title.textContent =
        `${point.title || id}: ${fix(point.weight, 3)}; ${point.members.map(nameOf).join(", ")}`.slice(0, 600);
    }
    lines.replaceChildren(
      ...picture.edges
        .map(([a, b, cosine]) => {
          const [from, to] = [picture.points[a], picture.points[b]];
          return (
            from
            && to
            && s("line", {
              "x1": x(from),
              "y1": y(from),
              "x2": x(to),
              "y2": y(to),
              "stroke-width": 1 + 3 * Math.max(0, cosine),
            })
          );
        })
        .filter(Boolean),
    );
    const all = picture.points.map((p) => `${(p.title || p.item_id).slice(0, 80)} ${fix(p.weight, 2)}`).join("; ");
    svg.setAttribute("aria-label", all || t("int.none"));
    box.replaceChildren(picture.points.length ? svg : empty);
  }
  return { box, draw };
}
