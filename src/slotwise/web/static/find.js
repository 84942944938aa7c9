// Filters that are not set stay out of the address, as the server itself leaves them out.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches("[data-filters]")) return;
  const { formData } = event.detail;
  for (const [name, value] of [...formData.entries()]) {
    if (value === "" || (name === "seats" && value === "1")) formData.delete(name);
  }
});

/** On a narrow screen the strip of days scrolls: to the day that is shown. */
function showDay() {
  const day = document.querySelector(".days [aria-current]");
  const strip = day?.closest(".days");
  if (strip) strip.scrollLeft += day.getBoundingClientRect().left - strip.getBoundingClientRect().left - strip.clientWidth / 3;
}

// What has an id keeps the focus through a swap. Whoever stood at something that is gone now stands at the day.
let stood = false;
document.addEventListener("htmx:beforeSwap", (event) => {
  stood = document.activeElement !== document.body;
  if (event.detail.xhr.status < 400) return;
  // An error has no times to put in their place: it is shown as the page it is, unless nobody had asked for anything.
  event.detail.shouldSwap = false;
  if (!event.detail.requestConfig.elt.hidden) location.assign(event.detail.pathInfo.finalRequestPath);
});
// What is read aloud is read again only when it says something else.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { fragment, target } = event.detail;
  if (target.id === "found") event.detail.shouldSwap = fragment.textContent.trim() !== target.textContent.trim();
});
document.addEventListener("htmx:afterSettle", () => {
  showDay();
  if (stood && document.activeElement === document.body) document.querySelector("#day-heading")?.focus();
});
showDay();
