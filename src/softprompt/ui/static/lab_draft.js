// What stands on the page while somebody looks for a model elsewhere, and comes back with one.

const KEY = "softprompt-lab-draft";

export function keepDraft(form, link) {
  const column = link.closest('[data-part="column"]')?.dataset.column ?? "0";
  const entries = [...new FormData(form)].filter(([, value]) => typeof value === "string");
  sessionStorage.setItem(KEY, JSON.stringify({ column, entries }));
}

/** The form as it was left, with the subject that was chosen in the meantime. */
export function takeDraft() {
  const subject = new URLSearchParams(location.search).get("subject");
  const kept = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (!kept || !subject) return null;
  const { column, entries } = JSON.parse(kept);
  const name = column === "0" ? "subject" : `subject.${column}`;
  const fresh = entries.filter(([key]) => key !== name && key !== "csrf");
  const csrf = document.querySelector('[data-lab] [name="csrf"]').value;
  return [...fresh, [name, subject], ["csrf", csrf], ["do", "show"]];
}
