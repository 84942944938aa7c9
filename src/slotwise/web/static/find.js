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

// The times are stale while they may not fit what is chosen: a filter differs from its default, with which the list was
// made, or another list is on its way. A card that is chosen meanwhile is taken only if the new list has it too.
const awaited = new Set();
let chosen = "";
let asked = "";

function isChanged(control) {
  if (!control.options) return control.value !== control.defaultValue;
  const made = [...control.options].find((option) => option.defaultSelected) ?? control.options[0];
  return !made.selected;
}

function filters() {
  return [...document.querySelectorAll("#filter-fields :is(input, select)")];
}

function hasChangedFilters() {
  return filters().some(isChanged);
}

function filterValues() {
  return JSON.stringify(filters().map((control) => control.value));
}

function isStale() {
  return awaited.size > 0 || hasChangedFilters();
}

function markStale() {
  for (const times of document.querySelectorAll("[data-times]")) times.ariaBusy = isStale();
}

/** The filters stay as they are, and the list on the screen was made with these values: they become the defaults. */
function setDefaults(values) {
  for (const [place, control] of filters().entries()) {
    const shown = control.value;
    for (const option of control.options ?? []) option.defaultSelected = option.value === values[place];
    if (!control.options) control.defaultValue = values[place];
    control.value = shown;
  }
}

/** Until this answer is on the screen. If it failed, nothing is taken: the old list need not be what was wanted. A part that updates itself asks for the same list again. */
function awaitList(event) {
  const { requestConfig, xhr } = event.detail;
  if (requestConfig?.elt.hidden) return;
  awaited.add(xhr);
  asked = filterValues();
  xhr.addEventListener("loadend", () => {
    awaited.delete(xhr);
    if (xhr.status < 200 || xhr.status >= 400) chosen = "";
    markStale();
    if (awaited.size === 0) takeChosen();
  });
  markStale();
}

function takeChosen() {
  const card = isStale() ? null : document.getElementById(chosen);
  chosen = "";
  card?.click();
}

function keepFromStaleList(event) {
  const card = event.target.closest?.("[data-times] .time > :is(a, button)");
  if (!card || !isStale()) return;
  event.preventDefault();
  chosen = card.id;
  if (awaited.size === 0) document.querySelector("#show").click();
}

document.addEventListener("click", keepFromStaleList);
for (const name of ["input", "change", "htmx:afterSettle"]) document.addEventListener(name, markStale);
for (const name of ["htmx:beforeSend", "htmx:historyCacheMiss"]) document.addEventListener(name, awaitList);

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, serverResponse } = event.detail;
  if (xhr.status < 400 && serverResponse.includes('id="results"')) return;
  // An error page, or the one for logging in, has no times. It is shown as a page of its own, unless the page updated
  // itself.
  event.detail.shouldSwap = false;
  if (!event.detail.requestConfig.elt.hidden) location.assign(event.detail.pathInfo.finalRequestPath);
});
// Screen readers read the number of times again only when it changed. Filters stay as they are if one was changed after
// the list was asked for: the next list has it.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { fragment, target } = event.detail;
  if (target.id === "found") event.detail.shouldSwap = fragment.textContent.trim() !== target.textContent.trim();
  if (target.id === "filter-fields" && filterValues() !== asked) {
    event.detail.shouldSwap = false;
    setDefaults(JSON.parse(asked));
  }
});
document.addEventListener("htmx:afterSettle", showDay);
showDay();
markStale();
document.documentElement.dataset.loadsTimes = "";
// A filter may have changed before this script ran.
document.addEventListener("DOMContentLoaded", () => hasChangedFilters() && document.querySelector("#show").click());
