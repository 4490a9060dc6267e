// Pages that keep themselves up to date: parts that say where they come from are fetched again and put in place.
// A part that somebody is using, with a field or an open question in it, stays as it is until they are done.

const EVERY = 2000;
const SLOWER = 10000;

for (const place of document.querySelectorAll("[data-from]")) follow(place);

function follow(place) {
  let shown = "";
  let wait = Number(place.dataset.every ?? EVERY);
  const once = "once" in place.dataset;
  const turn = async () => {
    if (once || (!document.hidden && !used(place))) {
      try {
        const got = await fetch(place.dataset.from, { headers: { accept: "text/html" }, redirect: "error" });
        if (!got.ok) throw new Error(String(got.status));
        const text = await got.text();
        if (text !== shown && !used(place)) put(place, text);
        shown = text;
        wait = Number(place.dataset.every ?? EVERY);
      } catch {
        wait = SLOWER; // the studio restarts, or the session has ended; what is shown stays
        if (once) place.textContent = "The checks could not be made. Load the page again.";
      }
    }
    if (!once) setTimeout(turn, wait);
  };
  setTimeout(turn, once ? 0 : wait);
}

/** Whether somebody types here, or has a question open. */
function used(place) {
  const field = document.activeElement;
  return place.querySelector(":popover-open") !== null || (place.contains(field) && field.matches("input, select, textarea"));
}

/** Put what the server drew in place, and leave the focus where it was. */
function put(place, text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const mark = focused && [...place.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused);
  const scrolled = [...place.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
  place.replaceChildren(...fresh.childNodes);
  place.querySelectorAll(".scroll").forEach((part, i) => (part.scrollLeft = scrolled[i] ?? 0));
  if (focused) place.querySelectorAll("a, button, summary, [tabindex]")[mark]?.focus({ preventScroll: true });
}
