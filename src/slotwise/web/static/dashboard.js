// Parts of the dashboard update themselves. Only a new version of the same part may replace one.

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.target.matches?.("[data-renewed]")) return;
  const { xhr, pathInfo } = event.detail;
  const answered = new URL(xhr.responseURL, location.href).pathname;
  const asked = new URL(pathInfo.finalRequestPath, location.href).pathname;
  if (xhr.status !== 200 || answered !== asked) event.detail.shouldSwap = false;
  // After a log-out, the answer comes from the log-in page: reload to show it.
  if (xhr.status === 200 && answered !== asked) location.reload();
  // What is unfolded stays unfolded.
  for (const { id } of event.target.querySelectorAll("details[open]")) {
    event.detail.serverResponse = event.detail.serverResponse.replace(`<details id="${id}"`, "$& open");
  }
});

/** Pairs of a time, in seconds, and the offset of the clinic's zone from then on, in minutes. */
function offsetsIn(words) {
  return [...words.matchAll(/(-?\d+) (-?\d+)/g)].map(([, since, minutes]) => [Number(since), Number(minutes)]);
}

// The page's heading and foot are not replaced. After midnight, or when a part shows a time in an offset that the foot
// does not name, the whole page is loaded again.
document.addEventListener("htmx:afterSettle", () => {
  const ofPage = offsetsIn(document.querySelector("[data-offsets]").dataset.offsets);
  const shown = [...document.querySelectorAll("[data-shown]")].flatMap((part) => offsetsIn(part.dataset.shown));
  const named = ([moment, minutes]) => (ofPage.findLast(([since]) => since <= moment) ?? ofPage[0])[1] === minutes;
  const isToday = document.querySelector("#board").dataset.day === document.querySelector("h1 time").dateTime;
  if (!isToday || !shown.every(named)) location.reload();
});
