// Draws curves with plotly in the colours of the page; loaded only where a picture is, and after everything else.

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = ["--curve", "--curve-2", "--curve-3", "--curve-4", "--curve-5", "--curve-6"];
const FONT = 'ui-sans-serif, system-ui, "Segoe UI", "Helvetica Neue", "Noto Sans", sans-serif';

export const colour = (number) => style(COLOURS[(number - 1) % COLOURS.length]);
export const faint = () => style("--line-strong");

/** The mean of each value and those before it: one update's loss says little. */
export function smooth(values, span) {
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (i >= span ? values[i - span] : 0);
    return sum / Math.min(i + 1, span);
  });
}

let loading = null;
function plotly() {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/static/plotly.min.js";
    script.onload = () => done(window.Plotly);
    script.onerror = failed;
    document.head.append(script);
  });
  return loading;
}

/**
 * A picture that is drawn again when told, at most a few times a second, the first time at once.
 * `look()` gives { traces, title, log, wide, key }; a person's zoom lasts as long as `key` is the same.
 */
export class Picture {
  constructor(place, look) {
    this.place = place;
    this.look = look;
    this.timer = null;
    this.drawn = 0;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme", "class"] });
    new ResizeObserver(() => this.fit()).observe(place);
  }

  draw() {
    if (this.timer) return;
    const wait = Math.max(0, 200 - (performance.now() - this.drawn));
    this.timer = setTimeout(() => this.now(), wait);
  }

  async now() {
    let Plotly;
    try {
      Plotly = await plotly();
    } catch {
      return; // the picture of the server stays
    } finally {
      this.timer = null;
    }
    this.drawn = performance.now();
    const { traces, title, log, wide, key, across = "update" } = this.look();
    if (!traces.some((trace) => trace.x.length)) return;
    if (!this.place.classList.contains("js-plotly-plot")) this.place.replaceChildren();
    const axis = { gridcolor: style("--line"), linecolor: style("--line"), zeroline: false, automargin: true, fixedrange: false };
    const layout = {
      margin: { l: 50, r: 10, t: 8, b: 40 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: style("--soft"), family: FONT, size: 12 },
      hoverlabel: { bgcolor: style("--surface"), bordercolor: style("--line-strong"), font: { color: style("--ink"), family: FONT } },
      xaxis: { ...axis, title: { text: across, standoff: 6 }, range: wide ? [0, wide] : undefined },
      yaxis: { ...axis, title: { text: title, standoff: 8 }, type: log ? "log" : "linear", rangemode: "tozero" },
      showlegend: false,
      hovermode: "x unified",
      dragmode: "zoom",
      uirevision: key,
    };
    await Plotly.react(this.place, traces, layout, { displayModeBar: false, doubleClick: "reset" });
    this.fit(); // the place may have changed while it was drawn
  }

  /** As wide as its place. */
  fit() {
    const drawn = this.place.querySelector(".main-svg");
    if (drawn && Math.abs(drawn.clientWidth - this.place.clientWidth) > 1) window.Plotly.Plots.resize(this.place);
  }

  /** Back to the whole curve after zooming. */
  whole() {
    if (!window.Plotly || !this.place.classList.contains("js-plotly-plot")) return;
    const { wide } = this.look();
    window.Plotly.relayout(this.place, { "xaxis.range": wide ? [0, wide] : undefined, "yaxis.autorange": true });
  }
}

/** Buttons, log scale and smoothing beside a picture; `changed` is called with what is chosen. */
export function tools(root, changed) {
  const chosen = { series: "loss", log: false, span: 9 };
  const buttons = [...root.querySelectorAll("[data-series]")];
  for (const button of buttons)
    button.addEventListener("click", () => {
      chosen.series = button.dataset.series;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      changed(chosen);
    });
  root.querySelector('[data-part="log-scale"]')?.addEventListener("change", (event) => {
    chosen.log = event.target.checked;
    changed(chosen);
  });
  root.querySelector('[data-part="smooth"]')?.addEventListener("input", (event) => {
    chosen.span = Number(event.target.value);
    changed(chosen);
  });
  return chosen;
}
