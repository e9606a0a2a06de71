// The undo button of a revoked key: counts down and disappears at zero.
for (const box of document.querySelectorAll("[data-undo]")) {
  const endsAt = performance.now() + Number(box.dataset.undo) * 1000;
  const countdown = box.querySelector("[data-undo-countdown]");
  const timer = setInterval(() => {
    const seconds = Math.ceil((endsAt - performance.now()) / 1000);
    if (seconds > 0) {
      countdown.textContent = `${seconds} s`;
      return;
    }
    clearInterval(timer);
    box.querySelector("form").remove();
  }, 200);
  // Coming back to this address later must not look like a fresh revocation.
  const url = new URL(location.href);
  url.searchParams.delete("revoked");
  history.replaceState(null, "", url);
}
