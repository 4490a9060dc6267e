// Runs in every page before its own scripts, and says on the console what a test has to fail for.
(() => {
  const told = new Set();
  const tell = (words) => {
    if (told.has(words)) return;
    told.add(words);
    console.error(`[watch] ${words}`);
  };
  document.addEventListener("securitypolicyviolation", (event) =>
    tell(`content security policy: ${event.violatedDirective} refused ${event.blockedURI || "something inline"}`),
  );

  const named = (element) => {
    const part = element.dataset?.part ? `[data-part=${element.dataset.part}]` : "";
    const classes = typeof element.className === "string" && element.className ? `.${element.className.trim().split(/\s+/).join(".")}` : "";
    return `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""}${classes}${part}`;
  };
  const scrolls = (element) => {
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible") return true;
    return false;
  };
  window.__wide = () => {
    const root = document.documentElement;
    if (root.scrollWidth <= innerWidth + 1) return "";
    const out = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e));
    return `${location.pathname} is ${root.scrollWidth} px wide in a window of ${innerWidth}: ${out.slice(-3).map(named).join(", ")}`;
  };
  const look = () => {
    const words = document.body && window.__wide();
    if (words) tell(words);
  };
  addEventListener("load", () => requestAnimationFrame(look));
  addEventListener("resize", () => requestAnimationFrame(look));

  window.__shift = 0;
  window.__shifted = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      window.__shift += entry.value;
      window.__shifted.push(...(entry.sources ?? []).map((s) => s.node && named(s.node.nodeType === 1 ? s.node : s.node.parentElement)));
    }
  }).observe({ type: "layout-shift", buffered: true });
})();
