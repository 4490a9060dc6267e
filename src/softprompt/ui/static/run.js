// Follows a run: numbers, curve and log come in as the worker tells them; a lost connection goes on where it broke.

import { part } from "./studio.js";

const card = document.querySelector("[data-run]");
const run = card.dataset.run;
const train = { x: [], y: [] };
const held = { x: [], y: [] };
const raw = [];
let updates = 0;
let perEpoch = 0;
let drawn = null;

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lasting = (s) => (s < 60 ? `${Math.round(s)} s` : `${Math.floor(s / 60)} min ${String(Math.round(s % 60)).padStart(2, "0")} s`);

/** The mean of the last updates: one update's loss says little. */
function smooth(values, span = 7) {
  return values.map((_, i) => {
    const near = values.slice(Math.max(0, i - span + 1), i + 1);
    return near.reduce((a, b) => a + b, 0) / near.length;
  });
}

function show(name, text) {
  const place = part(name, card);
  if (place) place.textContent = text;
}

function tell(at, words) {
  const log = part("log");
  const line = document.createElement("div");
  const time = document.createElement("time");
  time.textContent = new Date(at).toISOString().slice(11, 19);
  const text = document.createElement("span");
  text.textContent = words;
  line.append(time, text);
  log.append(line);
  log.scrollTop = log.scrollHeight;
}

function step(data) {
  train.x.push(data.update);
  train.y.push(data.loss);
  show("updates", `${data.update} of ${updates}`);
  show("loss", data.loss.toFixed(3));
  show("rate", data.learning_rate.toPrecision(2));
  show("speed", Math.round(data.tokens_per_second).toLocaleString("en"));
  show("eta", lasting(data.eta_seconds));
  const bar = card.querySelector(".meter > i");
  if (bar && updates) bar.style.width = `${(100 * data.update) / updates}%`;
}

const TAKE = {
  Started(data) {
    updates = data.updates;
    if (!part("updates", card)) location.reload();
  },
  StepDone: step,
  EpochDone(data) {
    perEpoch ||= train.x.length ? train.x.at(-1) / (data.epoch + 1) : 0;
    if (data.validation_loss != null) {
      held.x.push(Math.round(perEpoch * (data.epoch + 1)));
      held.y.push(data.validation_loss);
    }
  },
  // The first look tells old states again; only a newer one than the page's changes it.
  state(data, id) {
    if (id > Number(card.dataset.last) && data.state !== card.dataset.state) location.reload();
  },
};

/** Draw at most twice a second. */
let waiting = false;
function redraw() {
  if (waiting || !window.Plotly || !train.x.length) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    const traces = [
      { x: train.x, y: train.y, name: "each update", mode: "lines", line: { color: style("--line-strong"), width: 1 } },
      { x: train.x, y: smooth(train.y), name: "training, smoothed", mode: "lines", line: { color: style("--curve"), width: 2.5 } },
      { x: held.x, y: held.y, name: "validation", mode: "lines+markers", line: { color: style("--curve-2"), width: 2, dash: "dot" } },
    ].filter((trace) => trace.x.length);
    const axis = { gridcolor: style("--line"), zeroline: false };
    const layout = {
      margin: { l: 48, r: 8, t: 8, b: 36 },
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      font: { color: style("--soft"), family: "inherit", size: 12 },
      xaxis: { ...axis, title: { text: "update" }, range: [0, updates || null] },
      yaxis: { ...axis, title: { text: "loss" }, rangemode: "tozero" },
      legend: { orientation: "h", y: 1.1, x: 0 },
      hovermode: "x unified",
      uirevision: run,
    };
    const place = part("curve", card);
    if (!drawn) {
      place.replaceChildren();
      place.classList.add("live");
    }
    drawn = window.Plotly.react(place, traces, layout, { displaylogo: false, responsive: true });
  }, 150);
}

const plotly = document.createElement("script");
plotly.src = "/static/plotly.min.js";
plotly.onload = redraw;
document.head.append(plotly);

/** An event as a sentence, in the words of the page; nothing for those that only move the curve. */
const WORDS = {
  state: (data) => `The run is ${data.state}.`,
  Note: (data) => data.text,
  Started: (data) =>
    `${data.updates} updates on ${data.rows} rows, ${data.virtual_tokens} virtual tokens` +
    `${data.done ? `, goes on after update ${data.done}` : ""}.`,
  EpochDone: (data) =>
    `Epoch ${data.epoch + 1}: loss ${data.loss.toFixed(3)}` +
    `${data.validation_loss == null ? "" : `, validation ${data.validation_loss.toFixed(3)}`}.` +
    `${data.best && data.validation_loss != null ? " Best so far." : ""}`,
  Finished: (data) => `Tuning ended: ${data.reason}.`,
};

const source = new EventSource(`/api/runs/${run}/events`);
part("log").replaceChildren();
for (const kind of ["state", "Note", "Started", "StepDone", "EpochDone", "Finished"])
  source.addEventListener(kind, (message) => {
    const data = JSON.parse(message.data);
    TAKE[kind]?.(data, Number(message.lastEventId));
    if (WORDS[kind]) tell(data.at, WORDS[kind](data));
    redraw();
  });
source.addEventListener("end", () => {
  source.close();
  location.reload();
});
