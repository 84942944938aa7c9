// Keeps numbers of free seats fresh while a page is looked at. Without it they are those of the moment it was loaded.

const ADDRESS = "/api/slots/events";
const CHANGED_MILLISECONDS = 1000;
// All who watch are told at the same moment, and must not all ask in the same one.
const REFRESH_MILLISECONDS = 1000;
// After a refusal, which a browser takes for final: too many may be watching.
const REFUSED_MILLISECONDS = 30000;

// A page that is older when its first stream begins, as one that was opened in the background, may be stale.
const FRESH_MILLISECONDS = 3000;

let source = null;
let greeted = false;
let again = 0;
let changed = 0;
let refresh = 0;

function tell(name) {
  document.body.dispatchEvent(new CustomEvent(name));
}

function tellChanged() {
  changed ||= setTimeout(() => {
    changed = 0;
    tell("seats-changed");
  }, CHANGED_MILLISECONDS);
}

function tellRefresh() {
  refresh ||= setTimeout(() => {
    refresh = 0;
    tell("seats-refresh");
  }, Math.random() * REFRESH_MILLISECONDS);
}

function words(seats, open) {
  if (!open) return "no longer offered";
  if (seats === 0) return "sold out";
  return seats === 1 ? "1 seat left" : `${seats} seats left`;
}

/** Writes only what differs, so that focus stays and a screen reader is not told the same twice. */
function show(place, { availableSeats, status }) {
  const label = place.querySelector("[data-seats-left]");
  const before = label?.textContent.trim();
  const after = words(availableSeats, status === "OPEN");
  if (before === undefined || before === after) return;
  label.textContent = after;
  place.dataset.seats = availableSeats;
  for (const named of place.querySelectorAll("[aria-label]")) {
    const sentence = named.getAttribute("aria-label");
    if (sentence.endsWith(before)) named.setAttribute("aria-label", sentence.slice(0, -before.length) + after);
  }
  const wanted = Number(place.closest("form")?.elements.namedItem("seats")?.value) || 1;
  for (const button of place.querySelectorAll("button")) {
    if (status !== "OPEN" || availableSeats < wanted) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  }
}

function showAll(event) {
  for (const seats of JSON.parse(event.data)) {
    for (const place of document.querySelectorAll(`[data-slot="${Number(seats.slotId)}"]`)) show(place, seats);
  }
  tellChanged();
}

function open() {
  clearTimeout(again);
  if (document.hidden || source) return;
  source = new EventSource(ADDRESS);
  source.addEventListener("seats", showAll);
  source.addEventListener("refresh", tellRefresh);
  source.addEventListener("hello", () => {
    // What has changed since the page was made, or the last stream broke, was told to nobody here.
    if (greeted || performance.now() > FRESH_MILLISECONDS) tellRefresh();
    greeted = true;
  });
  source.addEventListener("error", () => {
    if (source?.readyState !== EventSource.CLOSED) return;
    close();
    greeted = true;
    again = setTimeout(open, REFUSED_MILLISECONDS);
  });
}

function close() {
  clearTimeout(again);
  source?.close();
  source = null;
}

// A page that nobody sees holds no connection: a browser has six for a server, and the server a thousand for all.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", open);
document.addEventListener("click", (event) => {
  if (event.target.closest?.('[data-slot] [aria-disabled="true"]')) event.preventDefault();
});

open();
