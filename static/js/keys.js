// The undo of a revocation: counts down and disappears at zero.
for (const box of document.querySelectorAll("[data-undo]")) {
  const ends = performance.now() + Number(box.dataset.undo) * 1000;
  const left = box.querySelector("[data-undo-left]");
  const tick = setInterval(() => {
    const seconds = Math.ceil((ends - performance.now()) / 1000);
    if (seconds > 0) {
      left.textContent = `${seconds} s`;
      return;
    }
    clearInterval(tick);
    box.querySelector("form").remove();
  }, 200);
  // Coming back to this address later must not look like a fresh revocation.
  history.replaceState(null, "", location.pathname);
}
