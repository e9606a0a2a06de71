// The detail beside a list: a divider to drag, and full width on demand. Both are remembered.
const split = document.getElementById("split");
const divider = split?.querySelector(".divider");
const KEY = "dragoman-list-width";
const FULL_KEY = "dragoman-detail-full";
const [MIN, MAX, STEP] = [30, 70, 2];

function setWidth(percent) {
  const width = Math.round(Math.min(MAX, Math.max(MIN, percent)));
  split.style.setProperty("--list", width);
  divider.setAttribute("aria-valuenow", String(width));
  localStorage.setItem(KEY, String(width));
}

function setFull(full) {
  split.classList.toggle("full", full);
  sessionStorage.setItem(FULL_KEY, full ? "yes" : "");
  split.querySelector("[data-full-width]")?.setAttribute("aria-pressed", String(full));
}

if (divider) {
  const stored = Number(localStorage.getItem(KEY));
  if (stored) setWidth(stored);
  setFull(sessionStorage.getItem(FULL_KEY) === "yes");
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    divider.dataset.dragged = "";
  });
  divider.addEventListener("pointermove", (event) => {
    if (!("dragged" in divider.dataset)) return;
    const { left, width } = split.getBoundingClientRect();
    setWidth(((event.clientX - left) / width) * 100);
  });
  for (const end of ["pointerup", "pointercancel"]) divider.addEventListener(end, () => delete divider.dataset.dragged);
  divider.addEventListener("dblclick", () => setWidth(50));
  divider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -STEP, ArrowRight: STEP, Home: -MAX, End: MAX }[event.key];
    if (!step) return;
    event.preventDefault();
    setWidth(Number(divider.getAttribute("aria-valuenow")) + step);
  });
  split.addEventListener("click", (event) => {
    if (event.target.closest("[data-full-width]")) setFull(!split.classList.contains("full"));
  });
  // Each detail has its own button.
  document.addEventListener("htmx:after:swap", () => setFull(split.classList.contains("full")));
}
