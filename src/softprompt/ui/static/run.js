// Follows a run or an evaluation: numbers, curve and log come in as the worker tells them. A lost connection, a restarted server or a
// second tab change nothing: everybody goes on behind the last event they saw.

import { colour, faint, Picture, smooth, tools } from "./plot.js";
import { part } from "./studio.js";

const card = document.querySelector("[data-run]");
const run = card?.dataset.run;
const kind = card?.dataset.kind ?? "runs";
const methods = new Set();
const live = ["queued", "running"].includes(card?.dataset.state);
const curve = { updates: Number(card?.dataset.updates ?? 0), update: [], loss: [], rate: [], speed: [], epochs: [] };
let last = Number(card?.dataset.last ?? 0);
const title = document.title;

const SERIES = { loss: "loss (nats)", rate: "learning rate", speed: "tokens a second" };
const place = card && part("curve", card);
const chosen = card ? tools(card, () => picture?.draw()) : null;
const picture = place ? new Picture(place, look) : null;
card?.querySelector('[data-part="whole"]')?.addEventListener("click", () => picture?.whole());

function look() {
  const { series, log, span } = chosen;
  const line = (width, color, dash) => ({ color, width, dash, simplify: true });
  const traces = [];
  if (series === "loss") {
    const ends = curve.epochs.filter((each) => each.validation != null);
    traces.push(
      { x: curve.update, y: curve.loss, name: "each update", mode: "lines", line: line(1, faint()) },
      { x: curve.update, y: smooth(curve.loss, span), name: "smoothed", mode: "lines", line: line(2.5, colour(1)) },
    );
    if (ends.length)
      traces.push({
        x: ends.map((each) => each.update),
        y: ends.map((each) => each.validation),
        name: "validation",
        mode: "lines+markers",
        line: line(2, colour(2), "dot"),
        marker: { size: 6, color: colour(2) },
      });
  } else traces.push({ x: curve.update, y: curve[series], name: SERIES[series], mode: "lines", line: line(2, colour(1)) });
  for (const trace of traces) trace.hovertemplate = series === "speed" ? "%{y:,.0f}" : "%{y:.4g}";
  return { traces, title: SERIES[series], log, wide: curve.updates, key: `${series} ${log}` };
}

// --- what the run tells -----------------------------------------------------------------------------------------------
const show = (name, text) => {
  const spot = part(name, card);
  if (spot && spot.textContent !== text) spot.textContent = text;
};
const count = (n) => Math.round(n).toLocaleString("en");

function lasting(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  const rest = (n) => String(n).padStart(2, "0");
  return minutes < 60 ? `${minutes} min ${rest(Math.round(seconds) % 60)} s` : `${Math.floor(minutes / 60)} h ${rest(minutes % 60)} min`;
}

function step(data) {
  const behind = curve.update.findIndex((update) => update >= data.update);
  if (behind >= 0 && curve.update.at(-1) >= data.update)
    for (const list of [curve.update, curve.loss, curve.rate, curve.speed]) list.length = behind; // it went on from a checkpoint
  curve.update.push(data.update);
  curve.loss.push(data.loss);
  curve.rate.push(data.learning_rate);
  curve.speed.push(data.tokens_per_second);
  show("updates", `${count(data.update)} of ${count(curve.updates)}`);
  show("loss", smooth(curve.loss.slice(-9), 9).at(-1).toFixed(3));
  show("rate", Number(data.learning_rate.toPrecision(2)).toString());
  show("speed", count(data.tokens_per_second));
  show("eta", lasting(data.eta_seconds));
  fill(curve.updates ? Math.min(1, data.update / curve.updates) : 0);
}

function fill(share) {
  const bar = card.querySelector('[role="progressbar"]');
  if (bar) {
    bar.setAttribute("aria-valuenow", (100 * share).toFixed(1));
    bar.firstElementChild.style.width = `${(100 * share).toFixed(1)}%`;
  }
  document.title = `${Math.floor(100 * share)} % · ${title}`;
}

/** An evaluation goes on to the next method. */
function method({ name }) {
  if (kind !== "evaluations") return;
  methods.add(name);
  const all = Math.max(Number(card.dataset.total), methods.size);
  show("methods-done", `${methods.size - 1} of ${all}`);
  show("now", `Asking: ${name}.`);
  fill((methods.size - 1) / all);
}

const TAKE = {
  Started(data) {
    curve.updates = data.updates;
  },
  StepDone: step,
  EpochDone(data) {
    const update = curve.update.at(-1) ?? 0;
    curve.epochs = curve.epochs.filter((each) => each.update < update);
    curve.epochs.push({ update, loss: data.loss, validation: data.validation_loss, metric: data.metric, best: data.best });
    if (data.validation_loss != null) show("validation", data.validation_loss.toFixed(3));
  },
  Method: method,
  state(data) {
    if (data.state !== card.dataset.state) location.reload();
  },
};

const REASONS = { "all epochs done": "all epochs are done", "stopped on request": "it was stopped, and the best is kept" };
const STATES = { queued: "Waiting for a worker.", running: "A worker has begun.", completed: "Done.", canceled: "Canceled.", failed: "Failed." };
const percent = (share) => `${Math.round(100 * share)}%`;
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

/** An event as a sentence, in the words of `run_words.py`; nothing for those that only move the curve. */
const WORDS = {
  state: (data) => [STATES[data.state] ?? data.state, data.problem?.message].filter(Boolean).join(" "),
  Note: (data) => sentence(data.text),
  Started: (data) =>
    `${count(data.updates)} updates on ${count(data.rows)} rows, ${count(data.virtual_tokens)} virtual tokens.` +
    (data.done ? ` It goes on after update ${count(data.done)}.` : ""),
  EpochDone: (data) =>
    `Epoch ${data.epoch + 1}: loss ${data.loss.toFixed(3)}` +
    (data.validation_loss == null ? "" : `, validation ${data.validation_loss.toFixed(3)}`) +
    (data.metric == null ? "" : `, ${percent(data.metric)} right`) +
    `.${data.best ? " Best so far." : ""}`,
  ReadoutEpochDone: (data) =>
    `Pass ${data.epoch + 1} through the readout: loss ${data.loss.toFixed(3)}` +
    (data.metric == null ? "." : `, ${percent(data.metric)} right.`),
  Finished: (data) => `Tuning ended: ${REASONS[data.reason] ?? data.reason}.`,
  Method: (data) => `Asking: ${data.name}.`,
};

function tell(at, words) {
  const log = part("log");
  if (!log) return;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const line = document.createElement("div");
  const time = document.createElement("time");
  time.dateTime = at;
  time.title = at;
  time.textContent = at.slice(11, 19);
  const text = document.createElement("span");
  text.textContent = words;
  line.append(time, text);
  log.append(line);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// --- the connection ---------------------------------------------------------------------------------------------------
function follow() {
  const source = new EventSource(`/api/${kind}/${run}/events?after=${last}`);
  for (const word of ["state", "Note", "Started", "StepDone", "EpochDone", "ReadoutEpochDone", "Finished", "Method"])
    source.addEventListener(word, (message) => {
      const id = Number(message.lastEventId);
      if (id <= last) return;
      last = id;
      lost(false);
      const data = JSON.parse(message.data);
      TAKE[word]?.(data);
      if (WORDS[word]) tell(data.at, WORDS[word](data));
      picture?.draw();
    });
  source.addEventListener("open", () => lost(false));
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("error", () => {
    lost(true);
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    source.close();
    setTimeout(follow, 2000);
  });
}

/** Say when nothing comes in, and take it back. */
function lost(now) {
  let sign = part("lost", card);
  if (now && !sign) {
    sign = document.createElement("p");
    sign.dataset.part = "lost";
    sign.className = "small lost";
    sign.setAttribute("role", "status");
    sign.textContent = "The connection is lost. The run goes on; this page tries to follow it again.";
    card.append(sign);
  } else if (!now) sign?.remove();
}

async function begin() {
  if (card.dataset.curve && picture) {
    const answer = await fetch(card.dataset.curve).catch(() => null);
    if (answer?.ok) {
      const found = await answer.json();
      Object.assign(curve, { ...found, updates: found.updates || curve.updates });
      if (live) last = Math.min(last, found.last); // the log of the page ends at `last`
      picture.draw();
    }
  }
  if (live) follow();
}

if (card) {
  for (const name of card.querySelectorAll("[data-method]")) methods.add(name.dataset.method);
  const log = part("log");
  if (log) log.scrollTop = log.scrollHeight;
  begin();
}

// Filters of answers act at once.
for (const form of document.querySelectorAll("[data-filters] form"))
  form.addEventListener("change", (event) => {
    if (event.target.type !== "search") form.requestSubmit();
  });
