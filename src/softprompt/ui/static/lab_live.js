// What follows the typing: sliders, fields for {variables}, and the count of tokens.

import { ask, part } from "./studio.js";

const WAIT = 350;
const NAME = /\{(\w+)\}/g;
let timer = 0;
let asking = null;

/** Look at the whole page again. */
export function live(form) {
  variables(form);
  count(form);
}

document.addEventListener("input", (event) => {
  const field = event.target;
  const form = field.closest?.("[data-lab]");
  if (!form) return;
  if (field.dataset.slides) {
    document.getElementById(field.dataset.slides).value = field.value;
    return;
  }
  const slider = field.id && form.querySelector(`[data-slides="${field.id}"]`);
  if (slider) {
    slider.value = field.value;
    return;
  }
  if (field.matches("textarea, [name=input_prefix], [name=output_prefix]")) variables(form);
  clearTimeout(timer);
  timer = setTimeout(() => count(form), WAIT);
});

/** A field for each {name} that stands in the prompt or in a test. */
function variables(form) {
  const card = part("variables", form);
  const list = part("variable-list", card);
  const free = form.elements.mode.value === "freeform";
  const texts = [...form.querySelectorAll("textarea, [name=input_prefix], [name=output_prefix]")].map((f) => f.value);
  const names = new Set(texts.flatMap((text) => [...text.matchAll(NAME)].map((found) => found[1])));
  if (free) names.delete("input");
  const there = new Map([...list.children].map((row) => [row.querySelector("[name=variable_name]").value, row]));
  for (const name of names) if (!there.has(name)) list.append(field(card, name));
  for (const [name, row] of there)
    if (!names.has(name) && !row.contains(document.activeElement)) row.hidden = true;
    else row.hidden = false;
  card.hidden = !names.size;
}

function field(card, name) {
  const row = card.querySelector("template").content.firstElementChild.cloneNode(true);
  row.querySelector("[name=variable_name]").value = name;
  part("variable-label", row).textContent = `{${name}}`;
  return row;
}

/** Tokens of each test as it stands; a studio that cannot count just now says nothing. */
async function count(form) {
  asking?.abort();
  asking = new AbortController();
  try {
    const answer = await ask("/lab/count", form, asking.signal);
    tell(form, await answer.json());
  } catch (error) {
    if (error.name !== "AbortError") tell(form, { rows: [], aside: [] });
  }
}

function tell(form, told) {
  const lines = new Map(told.rows);
  [...part("tries", form).children].forEach((row, number) => {
    part("count", row).textContent = lines.get(number) ?? "";
  });
  const aside = new Map(told.aside);
  for (const place of form.querySelectorAll('[data-part="aside"]'))
    place.textContent = aside.get(Number(place.dataset.column)) ?? "";
}
