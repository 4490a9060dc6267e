// Forms of deployments and spaces: serving names that are checked while they are typed, spaces made on the way,
// lists that narrow by themselves.

import { ask, part } from "./studio.js";

const form = document.querySelector("[data-deploy], [data-own]");
const serving = form?.elements.serving_name;
if (serving) watchServingName();
if (part("make-space", form ?? document)) makeSpaces();
for (const filters of document.querySelectorAll("[data-filters]"))
  filters.addEventListener("change", () => filters.requestSubmit());
const waiting = document.querySelector(".warn[data-space]");
if (waiting) follow(waiting.dataset.space, (state) => {
  part("space-state", waiting).textContent = state.words;
  part("space-words", waiting).textContent = state.waits_for;
  if (state.ready) waiting.className = "note";
});

/** Say whether the name is free, and offer one for the name that people read, until somebody types another. */
function watchServingName() {
  const told = part("serving", form);
  let own = serving.value !== "" && !form.elements.prompt;
  let turn = 0;
  let pause;

  const look = async (query) => {
    const mine = ++turn;
    const got = await fetch(`/deployments/check?${new URLSearchParams(query)}`).catch(() => null);
    return mine === turn && got?.ok ? got.json() : null;
  };
  const say = (free, words) => {
    told.textContent = words;
    told.className = `help ${free ? "free" : "taken"}`;
    serving.setCustomValidity(free ? "" : words);
  };
  const check = async () => {
    const name = serving.value.trim();
    if (!name) return say(true, "");
    const state = await look({ serving_name: name, own: form.dataset.own ?? "" });
    if (state) say(state.free, state.words);
  };
  const later = (work) => {
    clearTimeout(pause);
    pause = setTimeout(work, 200);
  };

  serving.addEventListener("input", () => {
    own = serving.value !== "";
    serving.setCustomValidity("");
    later(check);
  });
  for (const radio of form.querySelectorAll("[name=move]"))
    radio.addEventListener("change", () => (radio.value === "1" ? say(true, "") : check()));
  if (form.elements.prompt)
    form.elements.name.addEventListener("input", () => {
      if (own) return;
      later(async () => {
        const state = await look({ name: form.elements.name.value || "prompt" });
        if (!state || own) return;
        serving.value = state.suggested;
        check();
      });
    });
  if (serving.value && !form.dataset.own) check();
}

/** Make the new space at once, and say when it is ready; it is chosen then. */
function makeSpaces() {
  const button = part("make-space", form);
  const told = part("space-told", form);
  const { space: choice, space_name: name, stage } = form.elements;

  button.addEventListener("click", async () => {
    told.className = "small";
    if (!name.value.trim()) {
      told.textContent = "Give the space a name first.";
      name.focus();
      return;
    }
    button.disabled = true;
    told.textContent = "The space is being prepared …";
    try {
      const made = await (await ask("/api/spaces", { name: name.value.trim(), stage: stage.value })).json();
      choice.add(new Option(`Space ${made.name} (${made.stage})`, made.id), choice.options.length - 1);
      choice.value = made.id;
      name.value = "";
      choice.focus();
      await follow(made.id, (state) => {
        told.textContent = `${state.words} ${state.waits_for}`;
      });
    } catch (error) {
      told.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  name.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    button.click();
  });
}

/** Tell the state of a space until it is ready. */
async function follow(id, tell) {
  for (;;) {
    const got = await fetch(`/spaces/${encodeURIComponent(id)}/state`).catch(() => null);
    const state = got?.ok ? await got.json() : null;
    if (state) tell(state);
    if (state?.ready || (got && !got.ok)) return;
    await new Promise((done) => setTimeout(done, 2000));
  }
}
