// The form of a tuning run: sliders and numbers in step, what follows told anew after each change, a measurement watched.
// Without this module "Check" tells the same.

const form = document.querySelector("[data-live-form]");
const told = document.getElementById("outlook-told");
const PAUSE = 250;
const WATCH = 1500;
let asked = null;
let next = 0;

/** Ask what the form as it stands will do, and put the answer into the page. (`form.dataset` would be a field.) */
async function look(where = form.getAttribute("data-live-form")) {
  clearTimeout(next);
  asked?.abort();
  const mine = (asked = new AbortController());
  told.setAttribute("aria-busy", "true");
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(where, { method: "POST", body, signal: mine.signal, headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("outlook-told")) throw new Error(`The studio answered ${answer.status}.`);
    show(page);
  } catch (error) {
    if (error.name === "AbortError") return;
    told.textContent = `${error.message} “Check” tries again.`;
  }
  told.removeAttribute("aria-busy");
  if (told.hasAttribute("data-waiting")) next = setTimeout(look, WATCH);
}

/** Replace what follows from the fields; the fields themselves stay as they are. */
function show(page) {
  const again = document.activeElement?.dataset.part;
  for (const fresh of page.querySelectorAll("[data-live][id]")) {
    const now = document.getElementById(fresh.id);
    if (!now || now.outerHTML === fresh.outerHTML) continue;
    const open = new Set([...now.querySelectorAll("details[open][data-keep]")].map((each) => each.dataset.keep));
    now.replaceChildren(...fresh.childNodes);
    for (const each of now.querySelectorAll("details[data-keep]")) each.open ||= open.has(each.dataset.keep);
    for (const name of ["data-value", "data-waiting"]) copy(fresh, now, name);
  }
  for (const fresh of page.querySelectorAll('[id^="field-"]')) {
    const now = document.getElementById(fresh.id);
    if (now) copy(fresh, now, "data-differs");
  }
  if (again) told.querySelector(`[data-part="${again}"]`)?.focus();
  for (const slider of form.querySelectorAll("input[type=range]")) follow(slider);
}

function copy(from, to, name) {
  if (from.hasAttribute(name)) to.setAttribute(name, from.getAttribute(name));
  else to.removeAttribute(name);
}

// --- sliders ---
const numberOf = (slider) => form.elements[slider.dataset.for];

/** The slider stands where the number is, or where the number would be if it stays open. */
function follow(slider) {
  const number = numberOf(slider);
  const open = document.getElementById(`told-${slider.dataset.for}`)?.dataset.value;
  if (open) number.placeholder = open;
  const value = Number(number.value || number.placeholder);
  const { first, last } = slider.dataset;
  const share = "log" in slider.dataset ? Math.log(value / first) / Math.log(last / first) : (value - first) / (last - first);
  slider.value = Number.isFinite(share) ? Math.round(1000 * Math.min(1, Math.max(0, share))) : 0;
  slider.setAttribute("aria-valuetext", number.value || `${number.placeholder}, left open`);
  slider.classList.toggle("open", !number.value);
}

function lead(slider) {
  const first = Number(slider.dataset.first);
  const last = Number(slider.dataset.last);
  const share = slider.value / 1000;
  const value = "log" in slider.dataset ? first * (last / first) ** share : first + (last - first) * share;
  const number = numberOf(slider);
  number.value = "whole" in slider.dataset ? Math.round(value) : Number(value.toPrecision(2));
  slider.setAttribute("aria-valuetext", number.value);
  slider.classList.remove("open");
}

if (form) {
  form.addEventListener("input", ({ target }) => {
    if (target.dataset.part === "narrow") return narrow(target.value);
    if (target.type === "range") lead(target);
    const slider = form.querySelector(`input[type=range][data-for="${CSS.escape(target.name || "-")}"]`);
    if (slider) follow(slider);
    clearTimeout(next);
    next = setTimeout(look, PAUSE);
  });
  form.addEventListener("click", (event) => {
    const part = event.target.closest("[data-part]")?.dataset.part;
    if (part === "check" || part === "measure") {
      event.preventDefault();
      look(part === "measure" ? "/tuning/measure" : undefined);
    } else if (part === "reset") {
      for (const slider of form.querySelectorAll("input[type=range]")) numberOf(slider).value = "";
      look();
    }
  });
  // A link of a warning leads to its field: unfold what hides it, and stand in it.
  form.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#field-"]');
    const field = link && document.querySelector(link.getAttribute("href"));
    if (!field) return;
    event.preventDefault();
    for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    field.scrollIntoView({ block: "center" });
    const inside = "input:not([type=range]):not([disabled]):not([type=radio]), select, textarea, input:checked";
    field.querySelector(inside)?.focus({ preventScroll: true });
  });
  for (const slider of form.querySelectorAll("input[type=range]")) follow(slider);
  look();
}

function narrow(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of document.querySelectorAll('[data-part="other-models"] [data-told]'))
    card.hidden = !words.every((word) => card.dataset.told.includes(word));
}
