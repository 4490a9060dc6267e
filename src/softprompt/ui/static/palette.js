// The command palette: pages, actions and everything by name. Without scripts its button leads to /search.

const opener = document.querySelector('[data-part="palette"]');
const mac = /Mac|iPhone|iPad/.test(navigator.platform);
let dialog, input, list, status;
let places = null; // pages, actions and recent work, fetched once
let shown = []; // lines as they stand in the list
let chosen = 0;
let asking = null;

if (opener) {
  if (mac) opener.querySelector("kbd").textContent = "⌘ K";
  opener.setAttribute("aria-haspopup", "dialog");
  opener.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open();
  });
  opener.addEventListener("pointerenter", fetchPlaces, { once: true });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (mac ? event.metaKey : event.ctrlKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      dialog?.open ? dialog.close() : open();
    }
  });
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function build() {
  input = make("input", {
    type: "text", role: "combobox", placeholder: "Go to, do, or find by name", "aria-label": "Go to, do, or find by name",
    "aria-controls": "palette-list", "aria-expanded": "true", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
    maxlength: "200",
  });
  list = make("div", { id: "palette-list", role: "listbox", "aria-label": "Results" });
  status = make("p", { class: "sr", role: "status" });
  const keys = make("p", { class: "keys", "aria-hidden": "true" });
  for (const [key, words] of [["↑↓", "choose"], ["Enter", "open"], ["Esc", "close"]])
    keys.append(make("kbd", {}, key), ` ${words} `);
  dialog = make("dialog", { class: "palette", "aria-label": "Search" }, input, list, keys, status);
  document.body.append(dialog);
  input.addEventListener("input", look);
  input.addEventListener("keydown", press);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) go(Number(option.dataset.place), event.ctrlKey || event.metaKey);
  });
  list.addEventListener("pointermove", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) choose(Number(option.dataset.place), false);
  });
}

function open() {
  document.querySelector("#menu:popover-open")?.hidePopover();
  if (!dialog) build();
  input.value = "";
  dialog.showModal();
  show(places ?? []);
  fetchPlaces();
}

async function fetchPlaces() {
  const found = await lines("");
  if (!found) return;
  places = found;
  if (dialog?.open && !input.value.trim()) show(places);
}

async function lines(text, signal) {
  try {
    const answer = await fetch(`/search/lines?q=${encodeURIComponent(text)}`, { signal });
    return answer.ok ? (await answer.json()).items : null;
  } catch {
    return null; // given up for a newer question, or the studio is away: the pages stay
  }
}

async function look() {
  const text = input.value.trim();
  asking?.abort();
  const near = fitting(text);
  // Names found before stay until the new ones are there, so that the list does not jump.
  if (!text) return show(places ?? []);
  show([...near, ...shown.filter((line) => line.found && has(line, text))]);
  asking = new AbortController();
  const mine = asking.signal;
  const found = await lines(text, mine);
  if (mine.aborted || !found) return;
  show([...near, ...found.map((line) => ({ ...line, found: true }))], text);
}

const has = (line, text) => text.toLowerCase().split(/\s+/).every((word) => line.words.toLowerCase().includes(word));
const fitting = (text) => (places ?? []).filter((line) => line.group !== "Recent" && has(line, text));

function show(found, text = "") {
  shown = found;
  list.replaceChildren();
  let group = "";
  let section = list;
  found.forEach((line, place) => {
    if (line.group !== group) {
      group = line.group;
      const title = make("div", { class: "group", id: `palette-${place}` }, group);
      section = make("div", { role: "group", "aria-labelledby": `palette-${place}` }, title);
      list.append(section);
    }
    const words = make("span", { class: "words" }, line.words);
    const option = make("div", { role: "option", id: `palette-option-${place}`, "data-place": place, "aria-selected": "false" }, words);
    if (line.detail) option.append(make("span", { class: "detail" }, line.detail));
    section.append(option);
  });
  if (!found.length && text) list.append(make("p", { class: "none" }, `Nothing has “${text}” in its name.`));
  if (text) status.textContent = found.length === 1 ? "1 result" : `${found.length} results`;
  choose(0, true);
}

function choose(place, scroll) {
  chosen = Math.max(0, Math.min(place, shown.length - 1));
  for (const option of list.querySelectorAll("[role=option]"))
    option.setAttribute("aria-selected", String(Number(option.dataset.place) === chosen));
  const option = document.getElementById(`palette-option-${chosen}`);
  if (!option) return input.removeAttribute("aria-activedescendant");
  input.setAttribute("aria-activedescendant", option.id);
  if (scroll) chosen ? option.scrollIntoView({ block: "nearest" }) : (list.scrollTop = 0);
}

function press(event) {
  const last = shown.length - 1;
  const places = {
    ArrowDown: chosen === last ? 0 : chosen + 1, ArrowUp: chosen ? chosen - 1 : last,
    PageDown: Math.min(chosen + 8, last), PageUp: chosen - 8,
  };
  if (event.key in places) {
    event.preventDefault();
    choose(places[event.key], true);
  } else if (event.key === "Enter" && !event.isComposing) {
    event.preventDefault();
    go(chosen, event.ctrlKey || event.metaKey);
  }
}

function go(place, aside) {
  const line = shown[place];
  if (!line) return input.value.trim() && location.assign(`/search?q=${encodeURIComponent(input.value.trim())}`);
  if (aside) return window.open(line.href, "_blank", "noopener");
  dialog.close();
  location.assign(line.href);
}
