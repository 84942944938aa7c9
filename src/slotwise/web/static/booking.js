// The countdown of a hold, by the server's clock. When it is over, nothing that was typed is lost.

const TICK = 250;
const SAY_AT = [60, 30, 10];

function inWords(seconds) {
  const minutes = Math.floor(seconds / 60);
  const rest = seconds % 60;
  const parts = [];
  if (minutes) parts.push(`${minutes} ${minutes === 1 ? "minute" : "minutes"}`);
  if (rest || !minutes) parts.push(`${rest} ${rest === 1 ? "second" : "seconds"}`);
  return parts.join(" ");
}

function end(countdown, announce) {
  countdown.classList.add("over");
  countdown.textContent = "This time is no longer held for you. What you typed is kept: hold this time again.";
  announce.textContent = countdown.textContent;
  for (const part of document.querySelectorAll("[data-while-held]")) part.hidden = true;
  document.querySelector("[data-when-over]").hidden = false;
}

function start(countdown) {
  // Counts only the time that passes here, so a wrong clock on this machine does not matter.
  const began = performance.now();
  const total = (new Date(countdown.dataset.deadline) - new Date(countdown.dataset.now)) / 1000;
  const announce = document.querySelector("[data-announce]");
  let said = Infinity;
  const timer = setInterval(() => {
    if (!countdown.isConnected) {
      clearInterval(timer);
      return;
    }
    const left = Math.ceil(total - (performance.now() - began) / 1000);
    if (left <= 0) {
      clearInterval(timer);
      end(countdown, announce);
      return;
    }
    countdown.querySelector("[data-left]").textContent = `${inWords(left)} left`;
    const due = SAY_AT.find((seconds) => left <= seconds && seconds < said && left > seconds - 2);
    if (due !== undefined) {
      said = due;
      announce.textContent = `${inWords(left)} left to confirm.`;
    }
  }, TICK);
}

function startAll() {
  for (const countdown of document.querySelectorAll("[data-deadline]:not([data-running])")) {
    countdown.dataset.running = "";
    start(countdown);
  }
}

// Another tab may have released, confirmed or cancelled this hold: each page that opens says so, and this one looks.
const tabs = new BroadcastChannel("slotwise");

async function look() {
  const shown = document.querySelector("#main:has([data-deadline])");
  if (!shown) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.status !== 200) return;
  let page = await answer.text();
  const main = new DOMParser().parseFromString(page, "text/html").querySelector("#main");
  // A hold that still runs, or ran out here, stays with what was typed.
  if (!main || main.querySelector("[data-deadline], [data-ran-out]")) return;
  if (main.querySelector("[data-released]")) page = (await refused(shown.querySelector("[data-confirm]"))) ?? page;
  if (shown.isConnected) htmx.swap(shown, page, { swapStyle: "outerHTML" }, { select: "#main", selectOOB: "#clinic-zone" });
}

/** The answer to the form of a released hold, which stays released: the same page, and what was typed is kept for the next hold. */
async function refused(form) {
  const typed = new URLSearchParams(new FormData(form));
  // Another number would ask for a new hold.
  typed.delete("seats");
  const answer = await fetch(form.action, { method: "POST", body: typed }).catch(() => null);
  return answer && answer.status < 500 ? answer.text() : null;
}

tabs.addEventListener("message", look);
document.addEventListener("visibilitychange", () => document.hidden || look());
document.addEventListener("htmx:afterSettle", startAll);
// A page from the browser's memory may show a hold that is over.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
startAll();
