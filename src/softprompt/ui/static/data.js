// Rows of a dataset: found without loading the page anew, and edited with a draft that can be undone and survives a reload.

import { part } from "./studio.js";

// --- Rows: links and the search exchange the section alone ---

let asked = null;

async function exchange(address, push = true) {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  const old = part("rows");
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" }, signal });
    if (!answer.ok) return location.assign(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    old.replaceWith(document.adoptNode(part("rows", page)));
    for (const link of document.querySelectorAll("a[data-rows]:not([data-part=rows] a)")) {
      const twin = [...page.querySelectorAll("a[data-rows]")].find((other) => other.getAttribute("href") === link.getAttribute("href"));
      link.toggleAttribute("aria-current", twin?.hasAttribute("aria-current") ?? false);
    }
    if (push) history.pushState({}, "", address);
    const rows = part("rows");
    if (rows.getBoundingClientRect().top < 0 || rows.getBoundingClientRect().top > innerHeight * 0.6) rows.scrollIntoView();
    return rows;
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
  }
}

if (part("rows") && !document.querySelector("[data-editor]")) {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-rows]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const rows = await exchange(link.href);
    rows?.querySelector("#rows-title").focus({ preventScroll: true });
  });
  const search = async (form, push) => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const field = form.contains(document.activeElement) ? document.activeElement.name : "";
    const rows = await exchange(`${location.pathname}?${query}`, push);
    const again = rows?.querySelector(`form[data-rows] [name="${field}"]`);
    again?.focus();
    if (again?.type === "search") again.setSelectionRange(again.value.length, again.value.length);
  };
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-rows]")) return;
    event.preventDefault();
    search(event.target, true);
  });
  document.addEventListener("change", (event) => event.target.matches("form[data-rows] select") && search(event.target.form, true));
  let pause;
  document.addEventListener("input", (event) => {
    if (!event.target.matches("form[data-rows] [type=search]")) return;
    clearTimeout(pause);
    const field = event.target;
    pause = setTimeout(() => field.isConnected && search(field.form, false), 250);
  });
  addEventListener("popstate", () => exchange(location.href, false));
}

// --- Work that takes a while says so ---

document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("[data-busy]");
  if (button) [button.textContent, button.disabled] = [button.dataset.busy, true];
});
addEventListener("pageshow", (event) => event.persisted && document.querySelector("[data-busy][disabled]") && location.reload());

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".drop-menu[open]")) if (!menu.contains(event.target) || event.target.closest(".sheet")) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll(".drop-menu[open]")) menu.open = false;
});

// --- The bar of a split ---

const split = document.querySelector("[data-split]");
split?.addEventListener("input", () => {
  const rows = Number(split.dataset.split);
  const share = (name) => Math.min(90, Math.max(0, Number(split.elements[name].value) || 0));
  const [validation, test] = [share("validation"), share("test")];
  for (const [name, value] of [["train", Math.max(0, 100 - validation - test)], ["validation", validation], ["test", test]]) part(name, split).style.flex = value;
  const [held, tested] = [Math.round((rows * validation) / 100), Math.round((rows * test) / 100)];
  part("counts", split).textContent =
    validation + test > 90
      ? "At least a tenth has to stay for training."
      : `About ${(rows - held - tested).toLocaleString("en-GB")} training, ${held.toLocaleString("en-GB")} validation and ${tested.toLocaleString("en-GB")} test rows.`;
});

// --- The editor ---

const SAVING = "softprompt.saving";

/** A draft may go once its new version is there: not before, since connections break. */
function forget() {
  const key = sessionStorage.getItem(SAVING);
  if (key && /^\/data\/[0-9a-f-]{36}$/.test(location.pathname) && !key.endsWith(location.pathname.split("/")[2])) sessionStorage.removeItem(key);
  sessionStorage.removeItem(SAVING);
}

forget();

class Editor {
  constructor(form) {
    this.form = form;
    this.list = part("rows", form);
    this.key = form.dataset.editor && `softprompt.draft.${form.dataset.editor}`;
    this.draft = { changed: {}, deleted: [], added: [] };
    this.past = [];
    this.future = [];
    this.first = new Map();
    for (const row of this.list.querySelectorAll("[data-row]")) {
      const [input, output] = this.texts(row);
      this.first.set(row.dataset.row, [row.dataset.wasInput ?? input, row.dataset.wasOutput ?? output]);
    }
    this.restore();
    form.addEventListener("input", (event) => this.typed(event));
    form.addEventListener("click", (event) => this.clicked(event));
    form.addEventListener("keydown", (event) => this.pressed(event));
    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") (event.preventDefault(), form.requestSubmit());
    });
    form.addEventListener("submit", () => this.submit());
  }

  texts = (row) => [...row.querySelectorAll("textarea")].map((field) => field.value);

  /** What was not saved before: sent back by the studio, or kept by this browser. */
  restore() {
    const sent = part("draft", this.form)?.value;
    const kept = this.key && sessionStorage.getItem(this.key);
    try {
      if (sent || kept) this.draft = JSON.parse(sent || kept);
    } catch {}
    for (const [number, [input, output]] of Object.entries(this.draft.changed)) {
      const fields = this.row(number)?.querySelectorAll("textarea");
      if (fields) [fields[0].value, fields[1].value] = [input, output];
    }
    if (!sent) for (const [after, input, output] of this.draft.added) this.place(after, input, output);
    this.show();
  }

  row = (number) => this.list.querySelector(`[data-row="${number}"]`);

  /** Put a new row where it belongs, if that is on this page. */
  place(after, input = "", output = "", beside = null) {
    const row = part("new-row").content.firstElementChild.cloneNode(true);
    const anchor = beside ?? this.row(after);
    if (!anchor && after !== -1) return null;
    row.dataset.after = after;
    const hidden = row.querySelector("[name=new_after]");
    if (hidden) hidden.value = after;
    [row.querySelectorAll("textarea")[0].value, row.querySelectorAll("textarea")[1].value] = [input, output];
    if (anchor) {
      let behind = anchor;
      while (!beside && behind.nextElementSibling?.matches(".new")) behind = behind.nextElementSibling;
      behind.after(row);
    } else this.list.prepend(row);
    row.querySelectorAll("textarea")[1].setAttribute("list", "labels");
    return row;
  }

  /** The draft, with what stands on this page. */
  read() {
    const changed = { ...this.draft.changed };
    const deleted = new Set(this.draft.deleted);
    for (const [number, texts] of this.first) {
      const row = this.row(number);
      const now = this.texts(row);
      if (now[0] === texts[0] && now[1] === texts[1]) delete changed[number];
      else changed[number] = now;
      if (row.querySelector("[type=checkbox]").checked) deleted.add(Number(number));
      else deleted.delete(Number(number));
    }
    const here = (after) => this.first.has(String(after)) || (after === -1 && (this.first.has("0") || !this.first.size));
    const added = this.draft.added.filter(([after]) => !here(after));
    for (const row of this.list.querySelectorAll("[data-new]")) added.push([Number(row.dataset.after), ...this.texts(row)]);
    return { changed, deleted: [...deleted].sort((a, b) => a - b), added };
  }

  /** Remember how it was, so that it can be again; typing in one field is one step. */
  step(field = null) {
    const now = this.snapshot();
    if (field && field === this.typing && performance.now() - this.typedAt < 1500) this.past.pop();
    [this.typing, this.typedAt] = [field, performance.now()];
    this.past.push(this.shown);
    this.future = [];
    this.shown = now;
    this.keep();
  }

  snapshot = () => [...this.list.children].filter((row) => row.matches("[data-row], [data-new]")).map((row) => ({ row, texts: this.texts(row), gone: row.querySelector("[type=checkbox]")?.checked }));

  /** Back to a snapshot: the same rows, in their places, with their texts. */
  apply(snapshot) {
    const there = new Set(snapshot.map(({ row }) => row));
    for (const row of this.list.querySelectorAll("[data-new]")) if (!there.has(row)) row.remove();
    let before = null;
    for (const { row, texts, gone } of snapshot) {
      if (!row.isConnected) before ? before.after(row) : this.list.prepend(row);
      row.querySelectorAll("textarea").forEach((field, place) => field.value !== texts[place] && (field.value = texts[place]));
      const box = row.querySelector("[type=checkbox]");
      if (box) box.checked = gone;
      before = row;
    }
    this.shown = snapshot;
    this.typing = null;
    this.keep();
  }

  undo() {
    if (!this.past.length) return;
    this.future.push(this.shown);
    this.apply(this.past.pop());
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.shown);
    this.apply(this.future.pop());
  }

  keep() {
    this.draft = this.read();
    if (this.key) {
      if (this.size) sessionStorage.setItem(this.key, JSON.stringify(this.draft));
      else sessionStorage.removeItem(this.key);
    }
    this.show();
  }

  get size() {
    const { changed, deleted, added } = this.draft;
    return new Set([...Object.keys(changed).map(Number), ...deleted]).size + added.length;
  }

  show() {
    this.shown ??= this.snapshot();
    for (const [number] of this.first) {
      const row = this.row(number);
      const gone = this.draft.deleted.includes(Number(number));
      row.querySelector("[type=checkbox]").checked = gone;
      row.classList.toggle("gone", gone);
      row.classList.toggle("changed", number in this.draft.changed);
    }
    const { changed, deleted, added } = this.draft;
    const told = [[Object.keys(changed).length, "changed"], [added.length, "new"], [deleted.length, "taken out"]].filter(([count]) => count).map(([count, word]) => `${count} ${word}`);
    const state = part("state", this.form);
    if (state) state.textContent = told.length ? `Not saved yet: ${told.join(", ")}. Kept in this browser until you save.` : "Saving makes a new version; this one stays as it is.";
    for (const [name, off] of [["undo", !this.past.length], ["redo", !this.future.length], ["discard", !told.length]]) {
      const button = this.form.querySelector(`[data-do="${name}"]`);
      if (button) button.disabled = off;
    }
  }

  typed({ target }) {
    if (target.closest("[data-row], [data-new]")) this.step(target.matches("textarea") ? target : null);
  }

  add(after, beside, texts = []) {
    const row = this.place(after, ...[texts[0] ?? "", texts[1] ?? ""], beside);
    if (!row) return;
    this.step();
    row.querySelector("textarea").focus();
    row.scrollIntoView({ block: "nearest" });
  }

  last = () => this.list.querySelector("[data-row]:last-of-type, [data-new]:last-of-type") ?? this.list.lastElementChild;

  clicked(event) {
    const what = event.target.closest("[data-do]")?.dataset.do;
    const row = event.target.closest("li");
    if (what === "undo" || what === "redo") this[what]();
    else if (what === "discard") this.discard();
    else if (what === "add") this.add(Number(this.form.dataset.last), this.list.lastElementChild);
    else if (what === "drop") this.remove(row);
    else if (what === "rewrite") this.add(Number(row.dataset.after), row, [row.querySelector(".raw").textContent]);
  }

  discard() {
    this.past.push(this.shown);
    this.future = [];
    this.draft = { changed: {}, deleted: [], added: [] };
    for (const row of this.list.querySelectorAll("[data-new]")) row.remove();
    for (const [number, texts] of this.first) {
      this.row(number).querySelectorAll("textarea").forEach((field, place) => (field.value = texts[place]));
      this.row(number).querySelector("[type=checkbox]").checked = false;
    }
    this.shown = this.snapshot();
    this.keep();
  }

  remove(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    if (row.matches("[data-new]")) row.remove();
    else row.querySelector("[type=checkbox]").checked = !row.querySelector("[type=checkbox]").checked;
    this.step();
    next?.querySelector("textarea")?.focus();
  }

  pressed(event) {
    const row = event.target.closest("[data-row], [data-new]");
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const act = (does) => (event.preventDefault(), does());
    if (control && key === "z" && !event.shiftKey) act(() => this.undo());
    else if (control && (key === "y" || (key === "z" && event.shiftKey))) act(() => this.redo());
    else if (!row || !event.altKey) return;
    else if (event.key === "Enter") act(() => this.add(Number(row.dataset.row ?? row.dataset.after), row));
    else if (event.key === "Delete" || event.key === "Backspace") act(() => this.remove(row));
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") act(() => this.walk(row, event));
  }

  walk(row, { key, target }) {
    const rows = [...this.list.querySelectorAll("[data-row], [data-new]")];
    const next = rows[rows.indexOf(row) + (key === "ArrowDown" ? 1 : -1)];
    const place = [...row.querySelectorAll("textarea")].indexOf(target);
    next?.querySelectorAll("textarea")[Math.max(0, place)]?.focus();
  }

  /** The draft goes, and not the fields: it knows other pages of rows too. */
  submit() {
    const hidden = part("draft", this.form);
    if (!hidden) return;
    this.draft = this.read();
    this.draft.added = this.draft.added.filter(([, input, output]) => input.trim() || output.trim());
    hidden.value = JSON.stringify(this.draft);
    const fields = this.form.querySelectorAll("textarea, [type=checkbox], [name=new_after]");
    for (const field of fields) field.disabled = true;
    setTimeout(() => fields.forEach((field) => (field.disabled = false)));
    sessionStorage.setItem(SAVING, this.key);
  }
}

const form = document.querySelector("[data-editor]");
if (form) new Editor(form);
