// Sends a file in pieces: shows bytes and rate, can be cancelled, and goes on where a connection broke off.
// Without this module the form works as any other.

import { csrf, part } from "./studio.js";

const PIECE = 8 * 2 ** 20;
const PATIENCE = 4; // broken pieces in a row, until a person is asked
const form = document.querySelector("[data-upload]");

/** What the studio says when it refuses, in its own words. */
class Refused extends Error {}

function bytes(count) {
  const units = ["B", "KB", "MB", "GB"];
  let place = 0;
  while (count >= 1000 && place < 3) [count, place] = [count / 1000, place + 1];
  return `${place ? count.toFixed(1) : count} ${units[place]}`;
}

/** One request; progress is told while its body goes out. */
function send(method, path, body, { onprogress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.setRequestHeader("x-csrf-token", csrf);
    request.upload.onprogress = (event) => onprogress?.(event.loaded);
    request.onload = () => {
      let told = null;
      try {
        told = JSON.parse(request.responseText);
      } catch {}
      if (request.status < 300) resolve(told);
      else if (request.status >= 500 && request.status !== 507) reject(new Error("The studio did not answer properly."));
      else reject(Object.assign(new Refused(told?.error?.message ?? `The studio answered ${request.status}.`), { status: request.status }));
    };
    request.onerror = () => reject(new Error("The connection broke off."));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

class Upload {
  constructor(file, name) {
    Object.assign(this, { file, name, token: null, at: 0, stop: new AbortController(), rate: 0 });
  }

  async run(show) {
    const { signal } = this.stop;
    if (!this.token) this.token = (await send("POST", `/data/uploads?size=${this.file.size}`, null, { signal })).token;
    let broken = 0;
    while (this.at < this.file.size) {
      const from = this.at;
      const began = performance.now();
      const speed = (sent) => {
        const seconds = (performance.now() - began) / 1000;
        if (seconds > 0.2) this.rate = this.rate ? 0.7 * this.rate + 0.3 * (sent / seconds) : sent / seconds;
      };
      try {
        const body = this.file.slice(from, from + PIECE);
        const onprogress = (sent) => (speed(sent), show(from + Math.min(sent, body.size)));
        this.at = (await send("PUT", `/data/uploads/${this.token}?at=${from}`, body, { onprogress, signal })).at;
        broken = 0;
      } catch (error) {
        if (error.name === "AbortError" || (error instanceof Refused && error.status !== 409) || ++broken > PATIENCE) throw error;
        await new Promise((resolve) => setTimeout(resolve, 400 * 2 ** broken));
        this.at = (await send("GET", `/data/uploads/${this.token}`, null, { signal }).catch(() => ({ at: from }))).at;
      }
      show(this.at);
    }
    show(this.at, true);
    const query = new URLSearchParams({ size: this.file.size, name: this.name, file_name: this.file.name });
    return send("POST", `/data/uploads/${this.token}?${query}`, null, { signal });
  }

  cancel() {
    this.stop.abort();
    if (this.token) send("DELETE", `/data/uploads/${this.token}`).catch(() => {});
  }
}

if (form) {
  const [progress, doing, numbers, meter] = ["progress", "doing", "numbers", "meter"].map((name) => part(name, form));
  const [cancel, retry, button] = ["cancel", "retry", "send"].map((name) => part(name, form));
  const input = form.querySelector("input[type=file]");
  const problem = part("problem", form);
  let upload = null;

  const fields = (locked) => {
    for (const each of form.querySelectorAll("input, textarea, [data-part=send]")) each.disabled = locked;
  };

  const tell = (title, words) => {
    const box = Object.assign(document.createElement("div"), { className: "error" });
    box.append(Object.assign(document.createElement("strong"), { textContent: title }), words);
    problem.replaceChildren(box);
  };

  const show = (at, checking = false) => {
    const share = upload.file.size ? at / upload.file.size : 1;
    const left = upload.rate ? (upload.file.size - at) / upload.rate : 0;
    doing.textContent = checking ? "Checking every row …" : `Sending ${upload.file.name}`;
    numbers.textContent = checking
      ? bytes(upload.file.size)
      : `${bytes(at)} of ${bytes(upload.file.size)}${upload.rate ? `, ${bytes(upload.rate)} a second` : ""}${left > 2 ? `, ${Math.round(left)} s left` : ""}`;
    meter.setAttribute("aria-valuenow", Math.round(100 * share));
    meter.firstElementChild.style.width = `${100 * share}%`;
  };

  const go = async () => {
    problem.replaceChildren();
    progress.hidden = cancel.hidden = false;
    retry.hidden = true;
    fields(true);
    show(upload.at);
    try {
      location.assign((await upload.run(show)).href);
    } catch (error) {
      if (error.name === "AbortError") return;
      const refused = error instanceof Refused;
      tell(refused ? "Nothing was loaded." : "The upload broke off.", refused ? error.message : `${error.message} ${bytes(upload.at)} have arrived; it can go on from there.`);
      if (refused) done();
      else retry.hidden = false;
    }
  };

  const done = () => {
    progress.hidden = true;
    fields(false);
    upload = null;
  };

  addEventListener("pageshow", (event) => event.persisted && done());

  cancel.addEventListener("click", () => {
    upload?.cancel();
    done();
    button.focus();
  });
  retry.addEventListener("click", () => ((upload.stop = new AbortController()), go()));

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = form.elements.name.value;
    const pasted = form.elements.pasted.value;
    const file = input.files[0] ?? (pasted.trim() ? new File([pasted], "Pasted rows.jsonl") : null);
    if (!file) return tell("Nothing was loaded.", "Choose a file, or paste rows.");
    upload = new Upload(file, name);
    go();
  });

  // A file that is chosen or dropped is what people want to load: no second click. It may have been chosen before this
  // module was there; none is left from an earlier visit, for the field keeps nothing (autocomplete is off).
  const chosen = () => input.files.length && !upload && form.requestSubmit();
  input.addEventListener("change", chosen);
  part("drop", form).addEventListener("drop", () => setTimeout(chosen));
  chosen();

  // Anywhere on the page will do.
  for (const kind of ["dragover", "drop"])
    document.addEventListener(kind, (event) => {
      if (event.target.closest?.(".drop") || ![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
      event.preventDefault();
      part("drop", form).classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length && !upload) {
        input.files = event.dataTransfer.files;
        form.requestSubmit();
      }
    });
  document.addEventListener("dragleave", (event) => !event.relatedTarget && part("drop", form).classList.remove("over"));
}
