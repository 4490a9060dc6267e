// Curves of several runs on top of each other: by update or by share of the run, train or validation, with zoom.

import { colour, Picture, smooth, tools } from "./plot.js";
import { part } from "./studio.js";

const runs = [...document.querySelectorAll("[data-compare]")].map((card) => ({
  id: card.dataset.compare,
  name: card.dataset.name,
  curve: null,
}));
const card = part("curves");
const place = card && part("curve", card);
const NAMES = { loss: "loss (nats)", validation: "validation loss (nats)", rate: "learning rate" };
let byShare = false;

const chosen = card ? tools(card, () => picture.draw()) : null;
const picture = place ? new Picture(place, look) : null;
card?.querySelector('[data-part="whole"]')?.addEventListener("click", () => picture.whole());
card?.querySelector('[data-part="share"]')?.addEventListener("change", (event) => {
  byShare = event.target.checked;
  picture.draw();
});

function look() {
  const { series, log, span } = chosen;
  const traces = [];
  runs.forEach(({ name, curve }, i) => {
    if (!curve) return;
    const ends = curve.epochs.filter((each) => each.validation != null);
    const held = { x: ends.map((each) => each.update), y: ends.map((each) => each.validation) };
    const line = { x: curve.update, y: series === "rate" ? curve.rate : smooth(curve.loss, span) };
    const shown = series === "validation" ? held : line;
    const at = (x) => (byShare ? x.map((update) => (100 * update) / curve.updates) : x);
    traces.push({
      x: at(shown.x),
      y: shown.y,
      name,
      mode: series === "validation" ? "lines+markers" : "lines",
      line: { color: colour(i + 1), width: 2.5 },
      hovertemplate: "%{y:.4g}",
    });
    if (series === "loss" && held.x.length)
      traces.push({
        x: at(held.x),
        y: held.y,
        name: `${name}, validation`,
        mode: "lines",
        line: { color: colour(i + 1), width: 1.5, dash: "dot" },
        hovertemplate: "%{y:.4g}",
      });
  });
  const wide = byShare ? 100 : Math.max(...runs.map(({ curve }) => curve?.updates ?? 0));
  return { traces, title: NAMES[series], log, wide, key: `${series} ${log} ${byShare}`, across: byShare ? "per cent of the run" : "update" };
}

if (picture)
  Promise.all(
    runs.map(async (run) => {
      const answer = await fetch(`/tuning/runs/${run.id}/curve`).catch(() => null);
      if (answer?.ok) run.curve = await answer.json();
    }),
  ).then(() => picture.draw());

// What takes a while says so, and is not sent twice.
const ask = part("ask");
ask?.form.addEventListener("submit", () => {
  ask.textContent = "Asking …";
  setTimeout(() => (ask.disabled = true));
});
for (const form of document.querySelectorAll("[data-filters] form"))
  form.addEventListener("change", (event) => {
    if (event.target.type !== "search") form.requestSubmit();
  });
