// Pictures that come in: by dialog, drop and paste. The reference is one of them.

import { Refusal, upload, urls } from "./server.js";

const element = (id) => document.getElementById(id);
const drop = element("drop");
let reference = null; // { id, name }
let most = Infinity;

export const referenceId = () => reference?.id ?? null;
export const referenceName = () => reference?.name ?? null;

export function setReference(picture) {
  reference = picture;
  const shown = element("reference-picture");
  shown.hidden = !picture;
  if (picture) {
    shown.src = urls.picture(picture.id);
    shown.alt = `Reference: ${picture.name}`;
  }
  element("reference-none").hidden = !picture;
  element("reference-name").textContent = picture ? picture.name : "Choose a picture, drop it here, or paste it.";
  for (const button of element("samples").children) button.setAttribute("aria-pressed", String(button.dataset.id === picture?.id));
  drop.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Sends a file, which is bounded before. */
async function send(file) {
  if (file.size > most) throw new Refusal({ field: "reference", message: `The file is larger than ${Math.round(most / 2 ** 20)} MB.` });
  return upload(file, file.name || "pasted.png");
}

/** `restore` is called with a picture's settings, `refuse` with what is wrong. */
export function start({ samples, limits }, { restore, refuse }) {
  most = limits.bytes;
  element("samples").hidden = samples.length === 0;
  element("samples").append(...samples.map((sample) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.id = sample.id;
    button.title = sample.name;
    button.setAttribute("aria-pressed", "false");
    const picture = document.createElement("img");
    picture.src = urls.picture(sample.id);
    picture.alt = sample.name.replace(/\.\w+$/, "").replaceAll("_", " ");
    button.append(picture);
    button.addEventListener("click", () => { note(null); setReference(sample); });
    return button;
  }));

  /** `into` says what is wanted: a "reference", "settings", or "any": settings if it has some. */
  async function take(file, into) {
    note(null);
    refuse(null);
    try {
      const picture = await send(file);
      if (into !== "reference" && picture.restored) return restore(picture.restored);
      if (into === "settings") throw new Refusal({ message: "This picture has no settings in it." });
      setReference(picture);
      if (picture.restored) note(() => restore(picture.restored));
    } catch (error) {
      refuse(error);
    }
  }

  dialog("reference", "reference-file", (file) => take(file, "reference"));
  dialog("restore-button", "restore-file", (file) => take(file, "settings"));
  element("reference-none").addEventListener("click", () => { note(null); setReference(null); element("reference").focus(); });

  function dialog(button, input, then) {
    element(button).addEventListener("click", () => element(input).click());
    element(input).addEventListener("change", (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) then(file);
    });
  }

  const files = (data) => [...(data?.files ?? [])];
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = files(event.dataTransfer);
    if (file) take(file, drop.contains(event.target) ? "reference" : "any");
  });
  addEventListener("paste", (event) => {
    const [file] = files(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    take(file, "any");
  });
}

/** Offers to use the settings of a reference that carries some. */
function note(use) {
  const place = element("reference-note");
  place.hidden = !use;
  if (!use) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Use its settings";
  button.addEventListener("click", use);
  place.replaceChildren("This picture has settings in it. ", button);
}
