// Leaves empty filters out of the URL, as the server does.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches("[data-filters]")) return;
  const { formData } = event.detail;
  for (const [name, value] of [...formData.entries()]) {
    if (value === "" || (name === "seats" && value === "1")) formData.delete(name);
  }
});

/** Scrolls the strip of days, on a narrow screen, to the day that is shown. */
function showDay() {
  const day = document.querySelector(".days [aria-current]");
  const strip = day?.closest(".days");
  if (strip) strip.scrollLeft += day.getBoundingClientRect().left - strip.getBoundingClientRect().left - strip.clientWidth / 3;
}

// The list is inert while it does not fit what the visitor chose: a filter differs from the one that the list was made
// for, which is the control's default, or another list is on its way.
const waiting = new Set();

function differs(control) {
  const { value, defaultValue, options } = control;
  return options ? [...options].some((option) => option.selected !== option.defaultSelected && option.value !== "") : value !== defaultValue;
}

function markStale() {
  const changed = [...document.querySelectorAll("#filter-fields :is(input, select)")].some(differs);
  for (const times of document.querySelectorAll("[data-times]")) times.inert = changed || waiting.size > 0;
}

document.addEventListener("input", markStale);
document.addEventListener("change", markStale);
document.addEventListener("htmx:beforeSend", (event) => {
  // A part that updates itself asks for the same list again.
  if (!event.detail.requestConfig.elt.hidden) waiting.add(event.detail.xhr);
  markStale();
});
document.addEventListener("htmx:afterRequest", (event) => {
  waiting.delete(event.detail.xhr);
  markStale();
});

// An element with an id keeps the focus through a swap. If the focused element is gone, the focus moves to the day.
let hadFocus = false;
document.addEventListener("htmx:beforeSwap", (event) => {
  hadFocus = document.activeElement !== document.body;
  if (event.detail.xhr.status < 400) return;
  // An error page has no times to swap in. It is shown as a page of its own, unless the page updated itself.
  event.detail.shouldSwap = false;
  if (!event.detail.requestConfig.elt.hidden) location.assign(event.detail.pathInfo.finalRequestPath);
});
// Screen readers read the number of times again only when it changed.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { fragment, target } = event.detail;
  if (target.id === "found") event.detail.shouldSwap = fragment.textContent.trim() !== target.textContent.trim();
});
document.addEventListener("htmx:afterSettle", () => {
  markStale();
  showDay();
  if (hadFocus && document.activeElement === document.body) document.querySelector("#day-heading")?.focus();
});
showDay();
