// Additions for every page. All forms and links work without them.

/** How many minutes this machine's clock is ahead of the clinic's at that moment, by the offsets of the page's times. */
function minutesAhead(offsets, moment) {
  const clinic = offsets.findLast(({ since }) => since <= moment) ?? offsets[0];
  return -moment.getTimezoneOffset() - clinic.minutes;
}

function inWords(minutes) {
  if (minutes === 0) return "the same as the clinic's";
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  const parts = [];
  if (hours) parts.push(`${hours} ${hours === 1 ? "hour" : "hours"}`);
  if (rest) parts.push(`${rest} minutes`);
  return `${parts.join(" ")} ${minutes > 0 ? "ahead of" : "behind"} the clinic's`;
}

/** The times that a part of the page shows, in order, each with its words. */
function timesIn(scope) {
  const shown = [...document.querySelectorAll(`${scope} time[datetime*="T"]`)];
  const times = shown.map((time) => ({ moment: new Date(time.dateTime), words: time.textContent.trim() }));
  return times.sort((one, other) => one.moment - other.moment);
}

/** The times at which the difference becomes another one. */
function changesOf(offsets, times) {
  const known = times.map((time) => ({ ...time, minutes: minutesAhead(offsets, time.moment) }));
  return known.filter(({ minutes }, place) => place === 0 || minutes !== known[place - 1].minutes);
}

/** The offsets of the clinic's zone, in minutes, each with the first time of the page that has it: the server's numbers. */
function offsetsOf(zone) {
  const numbers = zone.dataset.offsets.trim().split(" ").map(Number);
  return numbers.flatMap((number, place) => (place % 2 ? [] : [{ since: number * 1000, minutes: numbers[place + 1] }]));
}

/**
 * Tells visitors in another zone how far their clock differs at the times that a part of the page shows. The difference
 * changes over the year, so the page's foot says it only where no other part does.
 */
function tellOtherZone() {
  const zone = document.querySelector("[data-offsets]");
  if (!zone) return;
  const offsets = offsetsOf(zone);
  const places = [...document.querySelectorAll("[data-other-zone]")];
  for (const place of places) {
    const times = timesIn(place.dataset.otherZone);
    const [first, ...later] = changesOf(offsets, times.length ? times : [{ moment: new Date() }]);
    place.hidden = (first.minutes === 0 && later.length === 0) || places.some((other) => other !== place && other.closest("main"));
    if (place.hidden) continue;
    const when = "now" in place.dataset ? "Now" : times.length > 1 && !place.closest("main") ? "At these times" : "At that time";
    const others = later.map(({ minutes, words }) => `, from ${words} on ${inWords(minutes)}`).join("");
    place.textContent = `${when}, your clock is ${inWords(first.minutes)}${others}.`;
  }
}

/**
 * Where there are several clinics, puts the visitor's own time beside a clinic's, when it differs on that day. A time
 * that says its offset is by that clock; the others are by the clock of the page's clinic.
 */
function showOwnTimes() {
  if (!("ownTimes" in document.body.dataset)) return;
  const zone = document.querySelector("[data-offsets]");
  const offsets = zone ? offsetsOf(zone) : [];
  for (const time of document.querySelectorAll('main time[datetime*="T"]:not([data-own])')) {
    time.dataset.own = "";
    const moment = new Date(time.dateTime);
    const said = time.dateTime.match(/([+-])(\d\d):(\d\d)$/);
    const own = -moment.getTimezoneOffset();
    const clinic = said ? (said[1] === "-" ? -1 : 1) * (60 * said[2] + Number(said[3])) : own - minutesAhead(offsets, moment);
    if (own === clinic) continue;
    const shift = (minutes) => new Date(moment.getTime() + minutes * 60000).toISOString();
    const clock = shift(own).slice(11, 16);
    const day = moment.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" });
    const words = `${shift(own).slice(0, 10) === shift(clinic).slice(0, 10) ? "" : `${day}, `}${clock} your time`;
    const beside = document.createElement("span");
    beside.className = "own-time";
    beside.textContent = `(${words})`;
    time.after(" ", beside);
    const control = time.closest("[aria-label]");
    if (control?.matches("button, a")) {
      // Its name for screen readers is a sentence, which takes up the words.
      control.ariaLabel = control.ariaLabel.replace(time.textContent, `$& (${words})`);
      beside.ariaHidden = "true";
    }
  }
}

/** Shows what the clock says in the time zone that is typed, to be checked. */
function showZoneNow() {
  for (const hint of document.querySelectorAll("[data-zone-now]")) {
    const field = document.querySelector(hint.dataset.zoneNow);
    field.oninput = () => {
      try {
        const now = new Date().toLocaleString("en-GB", { timeZone: field.value.trim(), weekday: "long", hour: "2-digit", minute: "2-digit" });
        hint.textContent = `There it is ${now} now. Is that right?`;
      } catch {
        hint.textContent = "";
      }
    };
  }
}

/** Moves the focus to what is marked for it, such as the list of errors above a form. Screen readers then read it. */
function focusWhatNeedsIt(root) {
  root.querySelector("[data-focus]")?.focus();
}

/** Shows why no answer came: "offline" or "busy". Hides both messages for null. */
function trouble(kind) {
  for (const name of ["offline", "busy"]) {
    const message = document.querySelector(`[data-${name}]`);
    if (message) message.hidden = name !== kind;
  }
}

// A control in a part that is replaced has an id, by which it keeps the focus. If it is gone, the focus moves to the
// heading of its section, or to the first heading of the new part. Screen readers then read that heading.
let focused = null;

function noteFocus() {
  const control = document.activeElement;
  if (control === document.body) return;
  focused = { control, section: control.closest("[aria-labelledby]")?.getAttribute("aria-labelledby") };
}

function headingOf(part) {
  const ofPage = part.querySelector("h1");
  if (ofPage || !focused || focused.control.isConnected) return ofPage;
  return document.getElementById(focused.section) ?? part.querySelector("h2");
}

function keepFocus(part) {
  const heading = document.activeElement === document.body ? headingOf(part) : null;
  if (heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  if (document.activeElement !== document.body) focused = null;
}

/** Where the browser gives no clipboard (without TLS), this selects the text, so that it can be copied by hand. */
async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    button.textContent = "Copied";
  } catch {
    source.focus();
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    button.textContent = "Selected. Copy it now";
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-print], [data-copy]");
  if (button?.matches("[data-print]")) window.print();
  if (button?.matches("[data-copy]")) copy(button);
});

// A form is not sent twice while its answer is awaited. After the back button it can be sent again.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent !== undefined) event.preventDefault();
  else if ((event.submitter?.formMethod || form.method) === "post" && !event.defaultPrevented) form.dataset.sent = "";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

document.addEventListener("htmx:afterRequest", (event) => {
  delete event.detail.elt?.closest?.("form")?.dataset.sent;
});
document.addEventListener("htmx:beforeSwap", noteFocus);
document.addEventListener("htmx:sendError", () => trouble("offline"));
document.addEventListener("htmx:timeout", () => trouble("offline"));
document.addEventListener("htmx:beforeSend", () => trouble(null));
document.addEventListener("htmx:responseError", (event) => {
  // Only for forms. Parts that update themselves try again by themselves.
  if ([429, 503].includes(event.detail.xhr.status) && event.detail.requestConfig.verb === "post") trouble("busy");
});
document.addEventListener("htmx:afterSettle", (event) => {
  prepare();
  focusWhatNeedsIt(event.target);
  keepFocus(event.target);
  if (event.detail.requestConfig?.verb === "post") tellOtherTabs();
});

// What is typed into a field with a preset number replaces that number. A click sets the caret after the focus came. A
// field keeps the focus when a list is loaded, and then has the number of that list as its preset one.
let entered = null;
document.addEventListener("pointerdown", (event) => {
  const field = event.target.closest?.('input[type="number"]');
  entered = field && (field !== document.activeElement || field.value === field.defaultValue) ? field : null;
});
document.addEventListener("focusin", (event) => event.target.matches?.('input[type="number"]') && event.target.select());
document.addEventListener("click", (event) => {
  if (event.target === entered) entered.select();
  entered = null;
});

function prepare() {
  for (const control of document.querySelectorAll("[data-needs-script]")) control.hidden = false;
  tellOtherZone();
  showOwnTimes();
  showZoneNow();
}

/** Other tabs may show a hold that this page has just released or confirmed. */
function tellOtherTabs() {
  const tabs = new BroadcastChannel("slotwise");
  tabs.postMessage("opened");
  tabs.close();
}

prepare();
focusWhatNeedsIt(document);
tellOtherTabs();
