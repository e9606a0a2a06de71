// An SVG image of the gateway as a PNG file, drawn by the browser.
const SCALE = 2;
const MAX_SIDE = 16_000;

/** The PNG of the SVG at `url` at double resolution, less where the canvas would be too large. */
async function renderPng(url) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const source = URL.createObjectURL(new Blob([await response.text()], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = source;
    await image.decode();
    const scale = Math.min(SCALE, MAX_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(image.naturalWidth * scale);
    canvas.height = Math.round(image.naturalHeight * scale);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no image"))), "image/png");
    });
  } finally {
    URL.revokeObjectURL(source);
  }
}

/** Downloads the PNG of the SVG at `url` as a file of this name. */
export async function savePng(url, name) {
  const file = URL.createObjectURL(await renderPng(url));
  const link = document.createElement("a");
  link.href = file;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(file), 60_000);
}

for (const link of document.querySelectorAll("a[data-png]")) {
  link.hidden = false;
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    // Without a canvas, the SVG that the link leads to.
    await savePng(link.href, link.dataset.png).catch(() => location.assign(link.href));
  });
}
