"use strict";

// Parts of a page with data-refresh replace themselves by their newer selves; data-every says after how many seconds.
async function refresh(part) {
  const busy = part.contains(document.activeElement) || part.querySelector("details[open]");
  if (!document.hidden && !busy) {
    try {
      const answer = await fetch(part.dataset.refresh);
      const text = await answer.text();
      if (answer.ok && text !== part.shown) part.innerHTML = part.shown = text;
    } catch {
      // The dashboard was stopped: keep what is shown and ask again.
    }
  }
  later(part);
}

function later(part) {
  const seconds = Number(part.querySelector("[data-every]")?.dataset.every ?? 20);
  setTimeout(refresh, 1000 * seconds, part);
}

document.querySelectorAll("[data-refresh]").forEach(later);

// A second click sends nothing twice; coming back to the page allows it again.
document.addEventListener("submit", (event) => {
  if (event.target.sent) event.preventDefault();
  event.target.sent = true;
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) form.sent = false;
});
