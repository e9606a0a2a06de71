// Polls the connection status every two seconds while it waits and the page is visible.
const EVERY_MS = 2000;

setInterval(() => {
  const light = document.querySelector("[data-poll]");
  if (light && !document.hidden) htmx.trigger(light, "poll");
}, EVERY_MS);
