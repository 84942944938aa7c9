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
  showDay();
  if (hadFocus && document.activeElement === document.body) document.querySelector("#day-heading")?.focus();
});
showDay();
