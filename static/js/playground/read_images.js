// Reads image files as base64. Loaded with the first file.
import { _, notice } from "./dom.js";

const KINDS = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const LARGEST = 5 * 1024 * 1024;
const MOST = 8;

/** The images of the files, of which the message has `count` already; a notice says why one is left out. */
export async function readImages(files, count) {
  const read = [];
  for (const file of files) {
    if (!KINDS.includes(file.type)) notice(_("{name} is not a PNG, JPEG, GIF or WebP image.", { name: file.name }), "warn");
    else if (file.size > LARGEST) notice(_("{name} is larger than 5 MB.", { name: file.name }), "warn");
    else if (count + read.length >= MOST) notice(_("A message can have up to {n} images.", { n: MOST }), "warn");
    else read.push({ name: file.name, media_type: file.type, data: await base64(file) });
  }
  return read;
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
