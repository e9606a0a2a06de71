// Images of the message: selected, pasted or dropped; base64 until they are sent.
import { $, _, el, icon, notice } from "./dom.js";

const KINDS = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const LARGEST = 5 * 1024 * 1024;
const MOST = 8;

export class Images {
  #list = [];

  constructor(changed) {
    this.changed = changed;
    this.box = $("#pg-thumbs");
    $("#pg-file").onchange = (event) => { this.add([...event.target.files]); event.target.value = ""; };
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])].filter((f) => f.type.startsWith("image/"));
      if (!files.length) return;
      event.preventDefault();
      this.add(files);
    });
    const form = $("#pg-form");
    form.addEventListener("dragover", (event) => { event.preventDefault(); form.dataset.drop = "over"; });
    form.addEventListener("dragleave", () => delete form.dataset.drop);
    form.addEventListener("drop", (event) => {
      delete form.dataset.drop;
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this.add([...event.dataTransfer.files]);
    });
  }

  get list() {
    return this.#list;
  }

  set list(images) {
    this.#list = images;
    this.#draw();
  }

  async add(files) {
    for (const file of files) {
      if (!KINDS.includes(file.type)) notice(_("{name} is not a PNG, JPEG, GIF or WebP image.", { name: file.name }), "warn");
      else if (file.size > LARGEST) notice(_("{name} is larger than 5 MB.", { name: file.name }), "warn");
      else if (this.#list.length >= MOST) notice(_("A message can have up to {n} images.", { n: MOST }), "warn");
      else this.#list = [...this.#list, { name: file.name, media_type: file.type, data: await base64(file) }];
    }
    this.#draw();
    this.changed();
  }

  #draw() {
    this.box.replaceChildren(...this.#list.map((image, i) => el("li", {},
      el("img", { src: `data:${image.media_type};base64,${image.data}`, alt: image.name || _("Image {n}", { n: i + 1 }) }),
      el("button.btn.sm.icon", {
        type: "button", "aria-label": _("Remove {name}", { name: image.name || i + 1 }),
        onclick: () => { this.list = this.#list.filter((other) => other !== image); this.changed(); },
      }, icon("x")))));
  }
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
