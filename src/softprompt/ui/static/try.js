// Asks a deployment without loading the page again.

import { ask, part } from "./studio.js";

const form = document.querySelector("[data-try]");
const card = form?.parentElement;

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = part("answer", card);
  const told = part("told", card);
  const began = performance.now();
  try {
    const got = await ask("/api/generate", { deployment: form.dataset.try, input: form.elements.input.value });
    const [result] = (await got.json()).results;
    answer.textContent = result.output;
    const sure = result.confidence == null ? "" : `, ${Math.round(100 * result.confidence)} % sure`;
    told.textContent =
      `${result.input_tokens} input + ${result.virtual_tokens} virtual + ${result.generated_tokens} generated tokens, ` +
      `${Math.round(performance.now() - began)} ms${sure}`;
    showLabels(result.labels);
  } catch (error) {
    answer.textContent = "";
    told.textContent = error.message;
  }
});

/** The likeliest labels as bars. */
function showLabels(labels) {
  const place = part("labels", card);
  place.replaceChildren();
  const top = (labels ?? []).slice(0, 5);
  const bars = document.createElement("div");
  bars.className = "bars";
  for (const { label: name, probability: share } of top) {
    const bar = document.createElement("div");
    bar.className = "bar";
    const title = Object.assign(document.createElement("span"), { className: "name", textContent: name });
    const meter = Object.assign(document.createElement("span"), { className: "meter" });
    const fill = document.createElement("i");
    fill.style.width = `${100 * share}%`;
    meter.append(fill);
    const count = Object.assign(document.createElement("span"), { className: "count", textContent: `${Math.round(100 * share)} %` });
    bar.append(title, meter, count);
    bars.append(bar);
  }
  if (top.length) place.append(bars);
}

form?.elements.input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
