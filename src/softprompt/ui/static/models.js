// Foundation models: filters at once, and downloads that are followed. Without scripts the form narrows the list, and
// the page is loaded again while something is fetched.

import { part } from "./studio.js";

const EVERY = 1000;

const form = part("filters");
if (form) {
  const cards = [...document.querySelectorAll('[data-part="model"]')];
  const value = (name) => form.elements[name].value.trim().toLowerCase();
  const fits = ({ dataset: d }) =>
    value("search").split(/\s+/).every((word) => d.told.includes(word)) &&
    (!value("task") || d.task.split(" ").includes(value("task"))) &&
    (!value("size") || d.size === value("size")) &&
    (!value("licence") || d.licence.toLowerCase() === value("licence")) &&
    (!form.elements.tunable.checked || d.tunable) &&
    (!form.elements.here.checked || d.here);
  const narrow = () => {
    let count = 0;
    for (const card of cards) count += !(card.hidden = !fits(card));
    part("count").textContent = `${count} of ${cards.length} models`;
    part("none").hidden = count > 0;
    const wish = new URLSearchParams([...new FormData(form)].filter(([, given]) => given));
    const narrowed = [...wish.keys()].some((name) => name !== "for");
    form.querySelector('[data-part="clear"]').hidden = !narrowed;
    history.replaceState(null, "", wish.size ? `?${wish}` : location.pathname);
  };
  form.addEventListener("input", narrow);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    narrow();
  });
  for (const clear of document.querySelectorAll('[data-part="clear"]'))
    clear.addEventListener("click", (event) => {
      event.preventDefault();
      for (const field of form.querySelectorAll("input:not([type=hidden]), select"))
        field.type === "checkbox" ? (field.checked = false) : (field.value = "");
      narrow();
      form.elements.search.focus();
    });
}

async function follow() {
  const shown = [...document.querySelectorAll("[data-pull]")];
  if (!shown.length) return;
  const answer = await fetch("/models/pulls").catch(() => null); // the studio may be starting again: keep asking
  const pulls = answer?.ok ? (await answer.json()).items : [];
  for (const place of shown) {
    const pull = pulls.find((each) => each.id === place.dataset.pull);
    if (!pull) continue;
    if (pull.state !== place.dataset.state) return location.reload();
    part("step", place).textContent = pull.step;
    part("words", place).textContent = pull.words;
    const bar = place.querySelector(".meter");
    bar.classList.toggle("unknown", pull.share === null);
    bar.setAttribute("aria-valuetext", pull.words);
    if (pull.share === null) bar.removeAttribute("aria-valuenow");
    else bar.setAttribute("aria-valuenow", Math.round(pull.share * 100));
    bar.firstElementChild.style.width = `${(pull.share ?? 0) * 100}%`;
  }
  setTimeout(follow, document.hidden ? EVERY * 5 : EVERY);
}
setTimeout(follow, EVERY);
