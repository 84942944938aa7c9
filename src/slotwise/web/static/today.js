// Parts of a page that renew themselves: what is not such a part does not take its place.

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.target.matches?.("[data-renewed]")) return;
  const { xhr, pathInfo } = event.detail;
  const answered = new URL(xhr.responseURL, location.href).pathname;
  const asked = new URL(pathInfo.finalRequestPath, location.href).pathname;
  if (xhr.status !== 200 || answered !== asked) event.detail.shouldSwap = false;
  // Whoever has been logged out is told so.
  if (xhr.status === 200 && answered !== asked) location.reload();
});
