// Images of the message: selected, pasted or dropped; base64 until they are sent.
import { $, _, el, icon } from "./dom.js";

export class Images {
  #list = [];

  constructor(onChange) {
    this.onChange = onChange;
    this.box = $("#pg-thumbs");
    $("#pg-file").onchange = (event) => { this.add([...event.target.files]); event.target.value = ""; };
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])].filter((f) => f.type.startsWith("image/"));
      if (!files.length) return;
      event.preventDefault();
      this.add(files);
    });
    const form = $("#pg-form");
    form.addEventListener("dragover", (event) => { event.preventDefault(); form.dataset.dropTarget = "over"; });
    form.addEventListener("dragleave", () => delete form.dataset.dropTarget);
    form.addEventListener("drop", (event) => {
      delete form.dataset.dropTarget;
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
    const { readImages } = await import("./read_images.js");
    const added = await readImages(files, this.#list.length);
    this.#list = [...this.#list, ...added];
    this.#draw();
    this.onChange();
  }

  #draw() {
    this.box.replaceChildren(...this.#list.map((image, i) => el("li", {},
      el("img", { src: `data:${image.media_type};base64,${image.data}`, alt: image.name || _("Image {n}", { n: i + 1 }) }),
      el("button.btn.sm.icon", {
        type: "button", "aria-label": _("Remove {name}", { name: image.name || i + 1 }),
        onclick: () => { this.list = this.#list.filter((other) => other !== image); this.onChange(); },
      }, icon("x")))));
  }
}
