// The detail beside a list: a divider to drag, and full width on demand. Both are remembered.
const split = document.getElementById("split");
const divider = split?.querySelector(".divider");
const WIDTH_KEY = "dragoman-list-width";
const FULL_KEY = "dragoman-detail-full";
const [MIN, MAX, STEP] = [30, 70, 2];

function setWidth(percent) {
  const width = Math.round(Math.min(MAX, Math.max(MIN, percent)));
  split.style.setProperty("--list", width);
  divider.setAttribute("aria-valuenow", String(width));
  localStorage.setItem(WIDTH_KEY, String(width));
}

function setFull(full) {
  split.classList.toggle("full", full);
  sessionStorage.setItem(FULL_KEY, full ? "yes" : "");
  split.querySelector("[data-full-width]")?.setAttribute("aria-pressed", String(full));
}

if (divider) {
  const storedWidth = Number(localStorage.getItem(WIDTH_KEY));
  if (storedWidth) setWidth(storedWidth);
  setFull(sessionStorage.getItem(FULL_KEY) === "yes");
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    divider.dataset.dragging = "";
  });
  divider.addEventListener("pointermove", (event) => {
    if (!("dragging" in divider.dataset)) return;
    const { left, width } = split.getBoundingClientRect();
    setWidth(((event.clientX - left) / width) * 100);
  });
  for (const kind of ["pointerup", "pointercancel"]) divider.addEventListener(kind, () => delete divider.dataset.dragging);
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
