// Reads image files as base64. Loaded with the first file.
import { _, notice } from "./dom.js";

const MEDIA_TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const MAX_BYTES = 5 * 1024 * 1024;
const MAX_IMAGES = 8;

/** The images of the files, of which the message has `count` already; a notice says why one is left out. */
export async function readImages(files, count) {
  const images = [];
  for (const file of files) {
    if (!MEDIA_TYPES.includes(file.type)) notice(_("{name} is not a PNG, JPEG, GIF or WebP image.", { name: file.name }), "warn");
    else if (file.size > MAX_BYTES) notice(_("{name} is larger than 5 MB.", { name: file.name }), "warn");
    else if (count + images.length >= MAX_IMAGES) notice(_("A message can have up to {n} images.", { n: MAX_IMAGES }), "warn");
    else images.push({ name: file.name, media_type: file.type, data: await readAsBase64(file) });
  }
  return images;
}

function readAsBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
