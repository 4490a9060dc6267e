// Answers of all cells over one stream. Leaving it stops them; what was said by then stays.

import { events } from "./events.js";
import { ask, part } from "./studio.js";

let stopping = null;

export const halt = () => stopping?.abort();

export async function generate(form) {
  if (stopping) return;
  stopping = new AbortController();
  const state = { total: 0, done: 0, generation: "" };
  show(form, true);
  clear(form);
  try {
    const answer = await ask("/lab/stream", form, stopping.signal);
    for await (const { data } of events(answer.body)) take(form, data, state);
    say(form, state.total === 1 ? "Answered." : `All ${state.total} answers are there.`);
  } catch (error) {
    const stopped = error.name === "AbortError";
    leave(form, stopped ? "stopped" : "");
    say(form, stopped ? "Stopped." : error.message, !stopped);
  } finally {
    stopping = null;
    show(form, false);
    if (state.generation) keep(form, state.generation);
  }
}

function take(form, event, state) {
  if (event.generation) {
    state.generation = event.generation;
    state.total = event.cells;
    return;
  }
  if (event.end) {
    part("right", form).textContent = event.right;
    remember(form, event.history);
    return;
  }
  const cell = cellAt(form, event.row, event.column);
  if (!cell) return;
  if (event.html) {
    const fresh = new DOMParser().parseFromString(event.html, "text/html").body.firstElementChild;
    cell.replaceWith(fresh);
    state.done += 1;
    if (state.total > 1) say(form, `${state.done} of ${state.total}`);
  } else if (event.piece) {
    const place = part("answer", cell);
    place.classList.add("writing");
    place.append(event.piece);
  }
}

const tests = (form) => part("tries", form).children;
const cellAt = (form, row, column) => tests(form)[row]?.querySelectorAll('[data-part="cell"]')[column];

/** Rows that are asked wait, all with as much room as before. */
function clear(form) {
  const free = form.elements.mode.value === "freeform";
  const rows = [...tests(form)];
  const some = rows.some((row) => row.querySelector("textarea").value.trim());
  rows.forEach((row, number) => {
    const asked = row.querySelector("textarea").value.trim() || (free && !some && number === 0);
    for (const cell of row.querySelectorAll('[data-part="cell"]')) {
      const place = document.createElement("div");
      place.className = "answer";
      place.dataset.part = "answer";
      place.dataset.empty = asked ? "…" : "No answer yet";
      const head = cell.firstElementChild;
      cell.replaceChildren(head, place);
    }
  });
  part("right", form).textContent = "";
  form.dataset.notices = "";
}

/** Cells that came to no end say so. */
function leave(form, words) {
  for (const place of form.querySelectorAll('.answer[data-empty="…"], .answer.writing')) {
    place.classList.remove("writing");
    place.dataset.empty = "No answer";
    if (words && place.textContent) {
      const told = document.createElement("p");
      told.className = "faint small";
      told.dataset.part = "told";
      told.textContent = words;
      place.after(told);
    }
  }
}

function say(form, words, bad = false) {
  const place = part("progress", form);
  place.textContent = words;
  place.classList.toggle("bad", bad);
}

function show(form, working) {
  part("halt", form).hidden = !working;
  part("go", form).hidden = working;
  if (working) say(form, "");
}

/** A reload shows the same page with its answers. */
function keep(form, generation) {
  form.elements.generation.value = generation;
  history.replaceState(null, "", `/lab?generation=${generation}`);
}

function remember(form, html) {
  const list = part("history", form);
  const item = new DOMParser().parseFromString(`<ol>${html}</ol>`, "text/html").querySelector("li");
  for (const link of list.querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  list.prepend(item);
  while (list.children.length > 6) list.lastElementChild.remove();
  part("no-history", form).hidden = true;
}
