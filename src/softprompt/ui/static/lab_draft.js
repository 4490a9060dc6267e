// What was typed is not lost: on a reload, and while somebody looks for a model elsewhere and comes back with one.

const CHOOSING = "softprompt-lab-choosing";
const TYPED = "softprompt-lab-typed";

const entriesOf = (form) => [...new FormData(form)].filter(([name, value]) => name !== "csrf" && typeof value === "string");
const sent = (entries) => [...entries, ["csrf", document.querySelector('[data-lab] [name="csrf"]').value], ["do", "show"]];

function take(key) {
  const kept = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  return kept ? JSON.parse(kept) : null;
}

export function keepDraft(form, link) {
  const column = link.closest('[data-part="column"]')?.dataset.column ?? "0";
  sessionStorage.setItem(CHOOSING, JSON.stringify({ column, entries: entriesOf(form) }));
}

/** The form as it was left, with the subject that was chosen in the meantime. */
export function takeDraft() {
  const subject = new URLSearchParams(location.search).get("subject");
  const kept = take(CHOOSING);
  if (!kept || !subject) return null;
  const name = kept.column === "0" ? "subject" : `subject.${kept.column}`;
  return sent([...kept.entries.filter(([key]) => key !== name), [name, subject]]);
}

export function keepTyped(form) {
  sessionStorage.setItem(TYPED, JSON.stringify({ place: location.href, entries: entriesOf(form) }));
}

/** The form as it stood before a reload, or before somebody went away and back. */
export function takeTyped() {
  const kept = take(TYPED);
  const how = performance.getEntriesByType("navigation")[0]?.type;
  const again = (how === "reload" || how === "back_forward") && kept?.place === location.href;
  return again ? sent(kept.entries) : null;
}
