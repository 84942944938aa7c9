// Keeps the numbers of free seats up to date while the page is visible. Without it, the numbers stay as they were loaded.

const EVENTS_URL = "/api/slots/events";
const CHANGED_MILLISECONDS = 1000;
// All open pages get an event at the same moment. Each waits a random time, so that they do not all ask at once.
const REFRESH_MILLISECONDS = 1000;
// After a refusal, because too many may be watching. A browser does not try again by itself then.
const REFUSED_MILLISECONDS = 30000;

// A page that is older than this when its first stream begins may be stale: it was opened in the background.
const FRESH_MILLISECONDS = 3000;

let source = null;
let greeted = false;
let again = 0;
let changed = 0;
let refresh = 0;
let openTime = 0;

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

/** When a visit in open time was booked or is over, other times there may have become free, or taken. */
function tellOpenTimeChanged() {
  openTime ||= setTimeout(() => {
    openTime = 0;
    tell("open-time-changed");
  }, Math.random() * REFRESH_MILLISECONDS);
}

/** The words of the macro `room` in the templates, and one more for a time that was closed. */
function roomWords({ totalSeats, availableSeats, status }) {
  if (status !== "OPEN") return "no longer offered";
  if (totalSeats === 1) return availableSeats ? "" : "taken";
  if (availableSeats === 0) return "full";
  return `room for ${availableSeats} ${availableSeats === 1 ? "person" : "people"}`;
}

/** Writes only what changed, so that the focus stays and a screen reader does not repeat itself. */
function show(place, seats) {
  const { availableSeats, status } = seats;
  const label = place.querySelector("[data-room]");
  const before = label?.textContent.trim();
  const after = roomWords(seats);
  if (before === undefined || before === after) return;
  label.textContent = after;
  place.dataset.seats = availableSeats;
  for (const named of place.querySelectorAll("[aria-label]")) {
    const sentence = named.getAttribute("aria-label");
    const time = before && sentence.endsWith(`, ${before}`) ? sentence.slice(0, -before.length - 2) : sentence;
    named.setAttribute("aria-label", after ? `${time}, ${after}` : time);
  }
  const wanted = Number(place.closest("form")?.elements.namedItem("seats")?.value) || 1;
  for (const button of place.querySelectorAll("button")) {
    if (status !== "OPEN" || availableSeats < wanted) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  }
}

function showAll(event) {
  const all = JSON.parse(event.data);
  for (const seats of all) {
    for (const place of document.querySelectorAll(`[data-slot="${Number(seats.slotId)}"]`)) show(place, seats);
  }
  if (all.some(({ windowId }) => windowId !== null)) tellOpenTimeChanged();
  tellChanged();
}

function open() {
  clearTimeout(again);
  if (document.hidden || source) return;
  source = new EventSource(EVENTS_URL);
  source.addEventListener("seats", showAll);
  source.addEventListener("refresh", tellRefresh);
  source.addEventListener("hello", () => {
    // The page missed what changed since it was made, or since the last stream broke.
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

// A hidden page keeps no connection: a browser has six for each server, and the server a thousand for all.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", open);
document.addEventListener("click", (event) => {
  if (event.target.closest?.('[data-slot] [aria-disabled="true"]')) event.preventDefault();
});

open();
