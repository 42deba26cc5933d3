// The settings: read from the fields, and written into them.

import { concept, setConcept } from "./words.js";
import { referenceId, setReference } from "./picture.js";

const element = (id) => document.getElementById(id);
const OTHER = "another"; // the entry of the list behind which a model of the hub is named
const texts = ["prompt", "negative_prompt", "seed"];
const numbers = ["scale", "warmup", "steps", "guidance", "width", "height"];
let catalogue;
let samples = [];

/** Fills the lists, and the fields with something that works. */
export function begin(start) {
  ({ catalogue, samples } = start);
  const option = (value, text = value) => new Option(text, value);
  element("model").append(...catalogue.models.map((model) => option(model.label)));
  if (catalogue.hub) element("model").append(option(OTHER, "Another on the Hugging Face hub…"));
  element("adapter").append(option("", "The model’s own"), ...catalogue.adapters.map((adapter) => option(adapter.label)));
  element("scheduler").append(option("", "The model’s own"), ...start.schedulers.map((name) => option(name)));
  element("model").addEventListener("change", chosen);
  for (const id of ["scale", "warmup"]) {
    const [range, number] = [element(`${id}-range`), element(id)];
    range.addEventListener("input", () => { number.value = range.value; });
    number.addEventListener("input", () => { range.value = number.value; });
  }
  element("dice").addEventListener("click", () => { element("seed").value = String(Math.floor(Math.random() * 2 ** 32)); });
  chosen();
  element("scale").value = "1";
  element("seed").value = "0";
  if (catalogue.models[0].label === start.embedded) {
    element("prompt").value = "an elephant and a car on the grass";
    setConcept({ start: 3, end: 11 });
    setReference(samples.find((sample) => sample.name.includes("elephant")) ?? samples[0] ?? null);
  }
  follow();
}

/** The model's own steps, guidance and warm-up. */
function chosen() {
  const model = catalogue.models.find((model) => model.label === element("model").value);
  element("hub").hidden = Boolean(model);
  const defaults = model?.defaults ?? catalogue.models[0].defaults;
  for (const id of ["steps", "guidance", "warmup"]) element(id).value = String(defaults[id]);
  follow();
}

function follow() {
  for (const id of ["scale", "warmup"]) element(`${id}-range`).value = element(id).value;
}

/** What the fields say. An empty or broken number is sent as it is, for the server to refuse by name. */
export function settings() {
  const values = Object.fromEntries(texts.map((id) => [id, element(id).value.trim()]));
  values.prompt = element("prompt").value;
  for (const id of numbers) {
    const field = element(id);
    values[id] = field.value === "" && !field.validity.badInput ? null : field.valueAsNumber;
    if (Number.isNaN(values[id])) values[id] = "";
  }
  const model = element("model").value;
  return {
    ...values,
    model: model === OTHER ? element("hub").value.trim() : model,
    adapter: element("adapter").value || null,
    scheduler: element("scheduler").value || null,
    concept: concept(),
    reference: referenceId(),
  };
}

/** Writes settings into the fields. A number that is null stays, but for the size, which is then the model's. */
export function setSettings(values) {
  const model = values.model;
  if (model) {
    const listed = catalogue.models.some((known) => known.label === model);
    element("model").value = listed ? model : OTHER;
    if (!listed) element("hub").value = model;
    chosen();
  }
  element("adapter").value = values.adapter ?? "";
  const scheduler = values.scheduler ?? "";
  if (![...element("scheduler").options].some(({ value }) => value === scheduler)) element("scheduler").append(new Option(scheduler));
  element("scheduler").value = scheduler;
  for (const id of texts) if (values[id] !== null && values[id] !== undefined) element(id).value = values[id];
  for (const id of numbers) {
    if (values[id] !== null && values[id] !== undefined) element(id).value = String(values[id]);
    else if (["width", "height"].includes(id)) element(id).value = "";
  }
  setConcept(values.concept);
  setReference(values.reference ? { id: values.reference, name: values.reference_name ?? "reference" } : null);
  if (values.negative_prompt || values.width) element("more").open = true;
  follow();
}

/** Shows a message beside its field, or none at all. */
export function showRefusal(refusal) {
  for (const message of document.querySelectorAll("#form .error")) {
    message.hidden = true;
    message.textContent = "";
  }
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  if (!refusal) return;
  const place = refusal.field && element(`${refusal.field}-error`);
  const message = place || element("form-error");
  message.textContent = refusal.message;
  message.hidden = false;
  if (!place) return;
  const field = element(refusal.field);
  field.closest("details")?.setAttribute("open", "");
  field.setAttribute("aria-invalid", "true");
  field.focus();
}
