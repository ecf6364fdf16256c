"use strict";

// Parts of a page with data-refresh replace themselves by their newer selves; data-every says after how many seconds.
async function refresh(part) {
  const busy = part.contains(document.activeElement) || part.querySelector("input:checked, details[open]:not([data-shown])");
  const typed = [...part.querySelectorAll("textarea, input:not([type=radio], [type=checkbox], [data-remember])")]
    .some((field) => field.value !== field.defaultValue);
  if (!document.hidden && !busy && !typed) {
    try {
      const answer = await fetch(part.dataset.refresh);
      const text = await answer.text();
      if (answer.ok && !answer.redirected && text !== part.shown) {
        part.innerHTML = part.shown = text;
        remember(part);
      }
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

// A reviewer's name is remembered in this browser.
function remember(root) {
  for (const input of root.querySelectorAll("[data-remember]")) {
    if (!input.value) input.value = localStorage.getItem(input.dataset.remember) ?? "";
  }
}
document.addEventListener("change", (event) => {
  const key = event.target.dataset?.remember;
  if (key) localStorage.setItem(key, event.target.value);
});
remember(document);

// The keys 1 to 4 answer the question, but where somebody writes.
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest?.("input:not([type=radio]), textarea, select");
  if (writing || event.ctrlKey || event.altKey || event.metaKey) return;
  for (const choice of document.querySelectorAll("[data-keys] .choice")) {
    if (choice.querySelector("kbd")?.textContent === event.key) {
      choice.closest("details").open = true;
      choice.querySelector("input").click();
      choice.querySelector("input").focus();
    }
  }
});

// Who chooses what it is has answered the question.
document.addEventListener("change", (event) => {
  const answer = event.target.closest?.(".choice")?.querySelector("input[type=radio]");
  if (answer && event.target !== answer) answer.checked = true;
});

// Another language shows the same page: with its filters, where it has some.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".languages a[href^='?']");
  if (!link) return;
  const address = new URL(location.href);
  address.searchParams.set("lang", link.lang);
  link.href = address.pathname + address.search;
});
