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
  history.replaceState(null, "", location.pathname);
}
