// What every page has beyond its forms and links. Everything works without it.

/** The difference between two zones at a moment, in minutes. */
function minutesBetween(zone, moment) {
  const inZone = new Date(moment.toLocaleString("en-US", { timeZone: zone }));
  const here = new Date(moment.toLocaleString("en-US"));
  return Math.round((here - inZone) / 60000);
}

function inWords(minutes) {
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  const parts = [];
  if (hours) parts.push(`${hours} ${hours === 1 ? "hour" : "hours"}`);
  if (rest) parts.push(`${rest} minutes`);
  return `${parts.join(" ")} ${minutes > 0 ? "ahead of" : "behind"} the clinic's`;
}

/** Visitors in another zone are told by how much their clock differs. */
function tellOtherZone() {
  const zone = document.querySelector("[data-zone]");
  if (!zone) return;
  const minutes = minutesBetween(zone.dataset.zone, new Date());
  for (const place of document.querySelectorAll("[data-other-zone]")) {
    place.hidden = minutes === 0;
    if (minutes !== 0) place.textContent = `Your clock is ${inWords(minutes)}.`;
  }
}

/** A form that failed says so to those who do not see it. */
function focusWhatNeedsIt(root) {
  root.querySelector("[data-focus]")?.focus();
}

/** One of the two reasons why an answer did not come; null when one did. */
function trouble(kind) {
  for (const name of ["offline", "busy"]) {
    const message = document.querySelector(`[data-${name}]`);
    if (message) message.hidden = name !== kind;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-print], [data-copy]");
  if (button?.matches("[data-print]")) window.print();
  if (button?.matches("[data-copy]")) {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).value);
    button.textContent = "Copied";
  }
});

// A form that is on its way is not sent twice; one that comes back by the back button may be.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent !== undefined) event.preventDefault();
  else if (form.method === "post" && !event.defaultPrevented) form.dataset.sent = "";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

document.addEventListener("htmx:afterRequest", (event) => {
  delete event.detail.elt?.closest?.("form")?.dataset.sent;
});
document.addEventListener("htmx:sendError", () => trouble("offline"));
document.addEventListener("htmx:timeout", () => trouble("offline"));
document.addEventListener("htmx:beforeSend", () => trouble(null));
document.addEventListener("htmx:responseError", (event) => {
  // Of a form: what renews itself tries again by itself.
  if ([429, 503].includes(event.detail.xhr.status) && event.detail.requestConfig.verb === "post") trouble("busy");
});
document.addEventListener("htmx:afterSettle", (event) => {
  prepare();
  focusWhatNeedsIt(event.target);
});

function prepare() {
  for (const control of document.querySelectorAll("[data-needs-script]")) control.hidden = false;
  tellOtherZone();
}

prepare();
focusWhatNeedsIt(document);
