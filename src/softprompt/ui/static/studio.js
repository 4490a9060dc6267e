// What every page has: marks that scripts run, copies code, takes dropped files.

document.documentElement.classList.add("js");

export const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

/** Ask the studio, with a form as it stands or with anything else as JSON; errors carry the studio's words. */
export async function ask(path, body, signal) {
  const fields = body instanceof HTMLFormElement ? new URLSearchParams(new FormData(body)) : null;
  const kind = fields ? "application/x-www-form-urlencoded" : "application/json";
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": kind, "x-csrf-token": csrf },
    body: fields ?? JSON.stringify(body),
    signal,
  });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new Error(told?.error?.message ?? `The studio answered ${answer.status}.`);
}

/** The part of a page, or of a piece of it, that scripts fill. */
export const part = (name, root = document) => root.querySelector(`[data-part="${name}"]`);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

for (const drop of document.querySelectorAll(".drop")) {
  const input = drop.querySelector("input[type=file]");
  for (const kind of ["dragover", "dragleave", "drop"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) input.files = event.dataTransfer.files;
    });
}
