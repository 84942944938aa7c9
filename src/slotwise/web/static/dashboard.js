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
