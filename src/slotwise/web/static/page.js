// What every page has beyond its forms and links. Everything works without it.

/** By how many minutes this machine's clock is ahead of one in that zone, at a moment. */
function minutesAhead(zone, moment) {
  // Swedes write the date first, as ISO 8601 does.
  const inZone = moment.toLocaleString("sv-SE", { timeZone: zone }).replace(" ", "T");
  return -moment.getTimezoneOffset() - Math.round((Date.parse(`${inZone}Z`) - moment) / 60000);
}

function inWords(minutes) {
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  const parts = [];
  if (hours) parts.push(`${hours} ${hours === 1 ? "hour" : "hours"}`);
  if (rest) parts.push(`${rest} minutes`);
  return `${parts.join(" ")} ${minutes > 0 ? "ahead of" : "behind"} the clinic's`;
}

/** Visitors in another zone are told by how much their clock differs: at the moment that a place names, or now. */
function tellOtherZone() {
  const zone = document.querySelector("[data-zone]");
  if (!zone) return;
  for (const place of document.querySelectorAll("[data-other-zone]")) {
    // Zones put their clocks forward and back on different days.
    const named = place.dataset.otherZone;
    const minutes = minutesAhead(zone.dataset.zone, named ? new Date(named) : new Date());
    place.hidden = minutes === 0;
    if (minutes !== 0) place.textContent = `Your clock is ${inWords(minutes)} ${named ? "then" : "now"}.`;
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

/** Whose control is gone with the page that was there stands at the heading of the new one, and hears it. */
function focusHeading(root) {
  const heading = root.querySelector("h1");
  if (!heading || document.activeElement !== document.body) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

/** Where a browser gives no clipboard, as without TLS, the text is selected: copying it is one key away. */
async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    button.textContent = "Copied";
  } catch {
    source.focus();
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    button.textContent = "Selected: now copy it";
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-print], [data-copy]");
  if (button?.matches("[data-print]")) window.print();
  if (button?.matches("[data-copy]")) copy(button);
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
  focusHeading(event.target);
});

function prepare() {
  for (const control of document.querySelectorAll("[data-needs-script]")) control.hidden = false;
  tellOtherZone();
}

prepare();
focusWhatNeedsIt(document);
