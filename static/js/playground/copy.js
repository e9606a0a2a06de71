// The copy buttons of the page.
import { copyText } from "../clipboard.js";
import { _, notice } from "./dom.js";

/** Copies a text and says whether it worked. */
export async function copyAndTell(text) {
  if (await copyText(text)) notice(_("Copied."), "ok");
  else notice(_("Copying was blocked by the browser."), "bad");
}
