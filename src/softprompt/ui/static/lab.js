// The Prompt Lab: rows that are added, answers that stream, a key that generates.

import { csrf, part } from "./studio.js";

const form = document.querySelector("[data-lab]");
let halt = null;

for (const button of form.querySelectorAll("[data-add]"))
  button.addEventListener("click", () => {
    const kind = button.dataset.add;
    const row = form.querySelector(`[data-template="${kind}"]`).content.cloneNode(true);
    const list = part(kind === "try" ? "tries" : "examples", form);
    list.append(row);
    list.lastElementChild.querySelector("textarea").focus();
  });

part("reset", form).addEventListener("click", () => {
  for (const input of form.querySelectorAll("[data-default]")) input.value = input.dataset.default;
  form.elements.decoding.value = "greedy";
  form.elements.stop.value = "";
});

part("subject", form).addEventListener("change", (event) => {
  const tuned = /^(prompt|deployment):/.test(event.target.value);
  part("words", form).disabled = tuned;
  part("aside", form).hidden = !tuned;
});

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
part("halt", form).addEventListener("click", () => halt?.abort());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  halt = new AbortController();
  part("halt", form).hidden = false;
  part("go", form).disabled = true;
  const rows = [...part("tries", form).children].filter((row) => row.querySelector("textarea").value.trim());
  await Promise.all(rows.map((row) => answer(row)));
  part("halt", form).hidden = true;
  part("go", form).disabled = false;
});

/** One try: the form with this input alone, its answer piece by piece. */
async function answer(row) {
  const place = part("answer", row);
  const told = part("told", row);
  const sent = new FormData(form);
  sent.delete("try_input");
  sent.append("try_input", row.querySelector("textarea").value);
  place.textContent = "";
  told.textContent = "";
  try {
    const got = await fetch("/lab/stream", {
      method: "POST",
      headers: { "x-csrf-token": csrf },
      body: new URLSearchParams(sent),
      signal: halt.signal,
    });
    if (!got.ok) throw new Error((await got.json().catch(() => null))?.error?.message ?? `The studio answered ${got.status}.`);
    for await (const event of events(got.body)) {
      if (event.piece != null) place.textContent += event.piece;
      if (event.output != null) place.textContent = event.output;
      if (event.told) told.textContent = event.told;
      if (event.problem) throw new Error(event.problem);
    }
  } catch (error) {
    told.textContent = error.name === "AbortError" ? "Stopped." : error.message;
  }
}

/** Server-sent events of a response body. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const line = block.split("\n").find((text) => text.startsWith("data: "));
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}
