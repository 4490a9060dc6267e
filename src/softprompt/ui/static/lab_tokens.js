// The likeliest tokens in the place of one that was generated: by mouse, by touch, and by the arrow keys.

const tip = () => document.querySelector("#lab-tip");
let shown = null;

document.addEventListener("pointerover", (event) => {
  const token = event.target.closest?.(".tok");
  if (token) tell(token);
  else if (!document.activeElement?.matches?.("[data-tokens]")) hide();
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-tokens]")) tell(event.target.querySelector(".tok"));
});
document.addEventListener("focusout", (event) => {
  if (event.target.matches("[data-tokens]")) hide();
});
addEventListener("scroll", () => shown && place(shown), { passive: true });

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return hide();
  if (!event.target.matches?.("[data-tokens]")) return;
  const tokens = [...event.target.querySelectorAll(".tok")];
  const here = Math.max(0, tokens.indexOf(shown));
  const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (next == null) return;
  event.preventDefault();
  tell(tokens[Math.min(Math.max(next, 0), tokens.length - 1)]);
});

function hide() {
  shown?.classList.remove("here");
  shown = null;
  if (tip()) tip().hidden = true;
}

function tell(token) {
  if (!token || token === shown) return;
  hide();
  shown = token;
  token.removeAttribute("title");
  token.classList.add("here");
  const others = JSON.parse(token.dataset.top);
  const own = others.some(([text]) => text === token.dataset.token) ? [] : [[token.dataset.token, Number(token.dataset.chance)]];
  tip().replaceChildren(...[...own, ...others].map(([text, chance]) => line(text, chance, text === token.dataset.token)));
  tip().hidden = false;
  place(token);
}

function line(text, chance, chosen) {
  const row = document.createElement("div");
  const name = document.createElement("code");
  const bar = document.createElement("i");
  const number = document.createElement("span");
  row.className = chosen ? "chosen" : "";
  name.textContent = text;
  bar.style.width = `${Math.max(1, chance * 100)}%`;
  number.textContent = chance >= 0.995 ? "100%" : chance < 0.001 ? "<0.1%" : `${(chance * 100).toFixed(1)}%`;
  const meter = document.createElement("span");
  meter.className = "meter";
  meter.append(bar);
  row.append(name, meter, number);
  return row;
}

function place(token) {
  const at = token.getClientRects()[0] ?? token.getBoundingClientRect();
  const box = tip().getBoundingClientRect();
  const below = at.bottom + 6 + box.height < innerHeight;
  tip().style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.width - 8))}px`;
  tip().style.top = `${below ? at.bottom + 6 : at.top - box.height - 6}px`;
}
