// Asks a deployment without loading the page again: by the form, piece by piece, or with the JSON of any interface.

import { events } from "./events.js";
import { ask, csrf, part } from "./studio.js";

const form = document.querySelector("[data-try], [data-json]");
const result = part("result");
let halt = null;

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (halt) return;
  halt = new AbortController();
  part("go", form).disabled = true;
  const stop = part("halt", form);
  if (stop) stop.hidden = false;
  try {
    await (form.dataset.try ? generate() : send());
  } finally {
    halt = null;
    part("go", form).disabled = false;
    if (stop) stop.hidden = true;
  }
});
form?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
part("halt", form ?? document)?.addEventListener("click", () => halt?.abort());

/** The answer of the form's question, as it comes. */
async function generate() {
  const fields = new FormData(form);
  const variables = {};
  for (const [name, value] of fields) if (name.startsWith("variable:")) variables[name.slice(9)] = value;
  const question = {
    deployment: form.dataset.try,
    input: fields.get("input") ?? "",
    variables,
    way: fields.get("way") ?? "auto",
    parameters: { max_new_tokens: Number(fields.get("most")) || 128 },
  };
  const answer = part("answer", result);
  answer.textContent = "";
  part("problem", result).replaceChildren();
  part("labels", result).replaceChildren();
  tell({});
  const began = performance.now();
  try {
    const got = await ask("/api/generate/stream", question, halt.signal);
    for await (const { kind, data } of events(got.body)) {
      if (kind === "piece") answer.textContent += data.text;
      if (kind === "failed") throw new Error(data.error.message);
      if (kind === "done") finish(data.result, performance.now() - began);
    }
  } catch (error) {
    if (error.name === "AbortError") tell({ stop: "stopped", took: time(performance.now() - began) });
    else fail(error.message);
  }
}

function finish(done, took) {
  part("answer", result).textContent = done.output;
  tell({
    input: done.input_tokens.toLocaleString("en"),
    virtual: done.virtual_tokens.toLocaleString("en"),
    generated: done.generated_tokens.toLocaleString("en"),
    took: time(took),
    sure: done.confidence == null ? "–" : `${Math.round(100 * done.confidence)}%`,
    stop: done.stop_reason.replaceAll("_", " "),
  });
  showLabels(done.labels);
}

function tell(numbers) {
  for (const place of result.querySelectorAll("[data-number]")) place.textContent = numbers[place.dataset.number] ?? "–";
}

function fail(words) {
  const box = Object.assign(document.createElement("div"), { className: "error" });
  box.append(Object.assign(document.createElement("strong"), { textContent: "No answer." }), words);
  part("problem", result).replaceChildren(box);
}

const time = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** The likeliest labels as bars, as the server draws them. */
function showLabels(labels) {
  const make = (tag, className, textContent = "") => Object.assign(document.createElement(tag), { className, textContent });
  const bars = make("div", "bars");
  const largest = labels[0]?.probability || 1;
  for (const { label, probability } of labels.slice(0, 8)) {
    const bar = make("div", "bar");
    const meter = make("span", "meter");
    const fill = document.createElement("i");
    fill.style.width = `${(100 * probability) / largest}%`;
    meter.append(fill);
    bar.append(make("span", "name", label), meter, make("span", "count", `${Math.round(100 * probability)}%`));
    bars.append(bar);
  }
  if (labels.length) part("labels", result).replaceChildren(bars);
}

/** JSON to the interface, and what comes back, word for word. */
async function send() {
  const told = part("told", result);
  const reply = part("reply", result);
  told.textContent = "";
  try {
    JSON.parse(form.elements.body.value);
  } catch (error) {
    reply.textContent = `This is no JSON: ${error.message}.`;
    return;
  }
  const began = performance.now();
  try {
    const got = await fetch(form.dataset.json, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": csrf },
      body: form.elements.body.value,
      signal: halt.signal,
    });
    const text = await got.text();
    told.textContent = `${got.status}, ${time(performance.now() - began)}`;
    reply.textContent = got.headers.get("content-type")?.includes("json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
  } catch (error) {
    reply.textContent = error.message;
  }
}
