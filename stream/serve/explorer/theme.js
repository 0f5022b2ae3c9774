// Before anything is drawn: the language and the theme, so that no page flashes in the wrong ones. A classic script.
(() => {
  const query = new URLSearchParams(location.search);
  const stored = (key) => {
    try {
      return localStorage.getItem(`penchant.${key}`);
    } catch {
      return null;
    } // a private window
  };
  const keep = (key, value) => {
    try {
      localStorage.setItem(`penchant.${key}`, value);
    } catch {
      /* then it counts for this page only */
    }
  };
  const root = document.documentElement;
  const asked = query.get("lang");
  if (asked === "zh" || asked === "en") keep("lang", asked);
  const lang = asked ?? stored("lang") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  root.lang = lang === "zh" ? "zh-CN" : "en";

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    root.dataset.theme = query.get("theme") ?? stored("theme") ?? (dark.matches ? "dark" : "light");
  };
  paint();
  dark.addEventListener("change", paint);
})();
