// The Prompt Lab: rows, keys and buttons. Answers stream in lab_stream.js, tokens are told by lab_tokens.js, what is
// counted while somebody types is in lab_live.js. The server knows the page: a button that changes its shape sends the
// form and takes over what comes back.

import { part } from "./studio.js";
import { generate, halt } from "./lab_stream.js";
import { live } from "./lab_live.js";
import { keepDraft, keepTyped, takeDraft, takeTyped } from "./lab_draft.js";
import "./lab_tokens.js";

const form = () => document.querySelector("[data-lab]");
const MOST_STOPS = 6;

/** Send the form with the button that was pressed, and show the page that comes back, where one was. */
let turns = 0;
async function swap(url, body, focus) {
  halt();
  const turn = ++turns;
  const answer = await fetch(url, { method: "POST", body: new URLSearchParams(body), headers: { accept: "text/html" } });
  const text = await answer.text();
  if (turn !== turns) return; // a later click has its answer coming: this one is old
  const page = new DOMParser().parseFromString(text, "text/html");
  const main = page.querySelector("#main");
  if (!main) return location.reload();
  const place = scrollY;
  document.querySelector("#main").replaceWith(main);
  document.title = page.title;
  if (answer.redirected) history.replaceState(null, "", answer.url);
  const again = focus && (document.getElementById(focus) ?? document.querySelector(`#main [name="${CSS.escape(focus)}"]`));
  again?.focus({ preventScroll: true });
  scrollTo(0, place);
  live(form());
}

const entries = (button) => {
  const sent = new FormData(form());
  if (button?.name) sent.append(button.name, button.value);
  return sent;
};

/** Rows are added, moved and removed in place; the names of their fields need no numbers. */
const rows = {
  add(button) {
    const kind = button.dataset.add;
    const list = part(kind === "try" ? "tries" : "examples", form());
    const row = part(kind, form().querySelector(`[data-template="${kind}"]`).content).cloneNode(true);
    list.append(row);
    row.querySelector("textarea").focus();
  },
  up: (row) => row.previousElementSibling?.before(row),
  down: (row) => row.nextElementSibling?.after(row),
  remove(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    if (row.dataset.part === "try" && !next) for (const field of row.querySelectorAll("textarea, input")) field.value = "";
    else row.remove();
    (next ?? row).querySelector("textarea")?.focus();
  },
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button || button.form?.id !== "lab") {
    if (event.target.closest('a[href="/models?for=lab"]') && form()) keepDraft(form(), event.target);
    return;
  }
  if (button.dataset.part === "halt") return halt();
  if (button.dataset.add || button.dataset.row) {
    event.preventDefault();
    const row = button.closest('[data-part="example"], [data-part="try"]');
    if (button.dataset.add) rows.add(button);
    else rows[button.dataset.row](row);
    if (button.dataset.row === "up" || button.dataset.row === "down") button.focus();
    return live(form());
  }
  if (button.dataset.dialog != null) {
    event.preventDefault();
    return showCode(button);
  }
  if (button.name !== "do" || button.value === "generate") return;
  event.preventDefault();
  const chip = button.closest(".lab-chip");
  if (chip) {
    const field = part("stop", chip.closest(".lab-stops"));
    chip.remove();
    return field.focus();
  }
  if (button.value.startsWith("reset")) return reset(button);
  swap("/lab", entries(button), button.value.startsWith("mode") ? "text" : undefined);
});

document.addEventListener("change", (event) => {
  if (event.target.dataset?.part === "subject") swap("/lab", entries({ name: "do", value: "show" }), event.target.name);
});

document.addEventListener("submit", (event) => {
  if (event.target !== form()) return;
  const button = event.submitter;
  if (button?.dataset.plain != null) return;
  event.preventDefault();
  if (button?.dataset.whole != null) swap(button.formAction, entries());
  else generate(form());
});

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (event.key !== "Enter" || !field.closest?.("[data-lab]")) return;
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    generate(form());
  } else if (field.dataset.part === "stop") {
    event.preventDefault();
    addStop(field);
  } else if (field.matches("input:not([type=radio])")) event.preventDefault();
});

/** A stopping criterion becomes a chip. */
function addStop(field) {
  const text = { "\\n": "\n", "\\t": "\t" }[field.value.trim()] ?? field.value;
  const box = field.closest(".lab-stops");
  const chips = part("chips", box);
  const known = [...chips.querySelectorAll("input")].map((input) => input.value);
  if (!text || known.includes(text) || known.length >= MOST_STOPS) return;
  const chip = box.querySelector("template").content.firstElementChild.cloneNode(true);
  chip.querySelector("input").value = text;
  part("chip", chip).textContent = text.replaceAll("\n", "↵").replaceAll("\t", "⇥");
  chip.querySelector("button").setAttribute("aria-label", `Remove the stopping criterion ${JSON.stringify(text)}`);
  chips.append(chip);
  field.value = "";
}

function reset(button) {
  const column = button.value.split(":")[1];
  const panel = form().querySelector(`[data-part="parameters"][data-column="${column}"]`);
  for (const input of panel.querySelectorAll("[data-default]")) {
    input.value = input.dataset.default;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  panel.querySelector("input[type=radio][value=greedy]").checked = true;
  part("chips", panel).replaceChildren();
  part("stop", panel).value = "";
}

async function showCode(button) {
  const answer = await fetch(button.formAction, { method: "POST", body: new URLSearchParams(entries()) });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const code = part("code", page) ?? part("notices", page);
  const dialog = document.querySelector("#lab-dialog");
  part("dialog", dialog).replaceChildren(code);
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  if (event.target.id === "lab-dialog") event.target.close();
  for (const menu of document.querySelectorAll(".lab-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector(".lab-menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

addEventListener("pagehide", () => form() && keepTyped(form()));

if (form()) {
  live(form());
  const draft = takeDraft() ?? takeTyped();
  if (draft) swap("/lab", draft);
}
