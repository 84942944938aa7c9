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

// Whoever followed a link that is no more stands at the day it led to.
document.addEventListener("htmx:afterSettle", () => {
  showDay();
  if (document.activeElement === document.body) document.querySelector("#day-heading")?.focus();
});
showDay();
