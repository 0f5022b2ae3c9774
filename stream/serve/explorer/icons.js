// Small drawings of one line each, 16 by 16.
import { s } from "./dom.js";

const PATHS = {
  view: "M1 8s2.6-4.5 7-4.5S15 8 15 8s-2.6 4.5-7 4.5S1 8 1 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  click: "M4 2l9 5-4 1.2L7.5 12.5z",
  like: "M8 13.5S2 10 2 6a3 3 0 0 1 6-1 3 3 0 0 1 6 1c0 4-6 7.5-6 7.5z",
  dislike: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM4 12l8-8",
  cart: "M1 2h2l2 8h7l2-6H4M6 13.5h.01M11 13.5h.01",
  purchase: "M3 5h10l1 9H2zM5.5 7V4.5a2.5 2.5 0 0 1 5 0V7",
  refund: "M13 12V7a2 2 0 0 0-2-2H3M6 2L3 5l3 3",
  query: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM11 11l3.5 3.5",
  impression: "M2 3h12v10H2zM5 6h6M5 9h4",
  person: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 14a5.5 5.5 0 0 1 11 0",
  x: "M4 4l8 8M12 4l-8 8",
  back: "M3 7h7a3.5 3.5 0 0 1 0 7H6M3 7l3-3M3 7l3 3",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  yes: "M3 8.5l3.5 3.5L13 4.5",
  no: "M4 4l8 8M12 4l-8 8",
  maybe: "M8 3v6M8 12.5h.01",
  later: "M5 3l5 5-5 5",
  list: "M3 4h10M3 8h10M3 12h6",
};

export const icon = (name) =>
  s(
    "svg",
    { "viewBox": "0 0 16 16", "class": "icon", "aria-hidden": "true" },
    s("path", { d: PATHS[name] ?? PATHS.click }),
  );

export const mark = () =>
  s(
    "svg",
    { "viewBox": "0 0 18 18", "class": "mark", "aria-hidden": "true" },
    s("path", { "d": "M2 16h14", "stroke-width": 1.6 }),
    s("path", { "d": "M5 13L13.5 2.5", "stroke-width": 3.4 }),
  );
