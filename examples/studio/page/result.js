// The sheet: the plain adapter's picture, Conceptrol's, and the mask; other strengths; every step and site.

import { about, urls } from "./server.js";

const element = (id) => document.getElementById(id);
let shown = null; // { settings, pictures, own }
let playing = null;

export const current = () => shown;

const strength = ({ scale, warmup }) => `scale ${scale}, warm-up ${warmup}`;
const time = (seconds) => (seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`);

/** Shows pictures. `plain` and `own` are ids; what they were made with, the server tells. */
export async function show({ plain, own }) {
  const [mine, other] = await Promise.all([about(own), plain ? about(plain) : null]);
  stop();
  shown = { plain, own, settings: mine.settings, masks: mine.masks };
  element("empty").hidden = true;
  element("sheet").hidden = false;
  element("plain-figure").hidden = !plain;
  figure("own", own, mine);
  element("own-name").textContent = mine.method === "text" ? "Text only" : "Conceptrol";
  element("own").alt = `${mine.method === "text" ? "Text only" : "Conceptrol"}: ${mine.settings.prompt}`;
  if (plain) {
    figure("plain", plain, other);
    element("plain").alt = `Plain adapter: ${other.settings.prompt}`;
  }
  const masks = mine.masks;
  const has = masks.steps > 0;
  element("mask-figure").hidden = element("masks").hidden = !has;
  element("again").hidden = mine.method === "text";
  document.querySelector(".figures").classList.toggle("two", [plain, own, has].filter(Boolean).length === 2);
  if (has) scrub(masks);
  element("again-scale").max = String(Math.max(2, mine.settings.scale));
  element("again-scale").min = String(Math.min(0, mine.settings.scale));
  element("again-scale").value = String(mine.settings.scale);
  element("again-warmup").value = String(mine.settings.warmup);
  values();
  element("sheet-save").href = urls.sheet(own, plain);
}

function figure(id, result, { settings, seconds }) {
  element(id).src = urls.result(result);
  element(`${id}-said`).textContent = `${strength(settings)} · ${time(seconds)}`;
  element(`${id}-save`).href = urls.result(result);
}

function scrub(masks) {
  const site = element("mask-site");
  const before = site.value;
  site.replaceChildren(...masks.sites.map(({ name, rows, columns }, index) => {
    const short = name.replace(/transformer_blocks\.0\./, "").replaceAll("attentions.", "");
    return new Option(`${index === masks.block ? "concept block: " : ""}${short} · ${rows}×${columns}`, name);
  }));
  const chosen = masks.sites.some(({ name }) => name === before) ? before : masks.sites[masks.block ?? 0].name;
  site.value = chosen;
  const step = element("mask-step");
  step.max = String(masks.steps);
  step.min = "1";
  step.value = String(masks.steps);
  mask();
}

function mask() {
  const { masks, own } = shown;
  const step = element("mask-step").valueAsNumber;
  const site = element("mask-site").selectedIndex;
  const url = urls.mask(own, site, step - 1);
  element("mask").src = url;
  element("mask").alt = `Where the concept’s words act: ${masks.sites[site].name}, step ${step} of ${masks.steps}`;
  element("mask-step-value").textContent = `${step}/${masks.steps}`;
  element("mask-step").setAttribute("aria-valuetext", `Step ${step} of ${masks.steps}`);
  element("mask-said").textContent = `${site === masks.block ? "concept block" : masks.sites[site].name.split(".").slice(0, 3).join(".")}, step ${step}`;
  element("mask-save").href = url;
}

function stop() {
  clearTimeout(playing);
  playing = null;
  element("mask-play").textContent = "Play the steps";
}

function play() {
  const step = element("mask-step");
  if (step.valueAsNumber >= shown.masks.steps) step.value = "1";
  else step.valueAsNumber += 1;
  mask();
  playing = step.valueAsNumber >= shown.masks.steps ? (stop(), null) : setTimeout(play, 120);
}

function values() {
  for (const id of ["again-scale", "again-warmup"]) element(`${id}-value`).textContent = Number(element(id).value).toFixed(2);
}

/** `again` is called with the settings that the sliders ask for, and whether the plain adapter's picture is wanted, too. */
export function start(again) {
  const changed = () => {
    const settings = { ...shown.settings, scale: element("again-scale").valueAsNumber, warmup: element("again-warmup").valueAsNumber };
    again(settings, element("again-plain").checked, shown.plain);
  };
  for (const id of ["again-scale", "again-warmup"]) {
    element(id).addEventListener("input", values);
    element(id).addEventListener("change", changed);
  }
  element("again-plain").addEventListener("change", () => { if (element("again-plain").checked) changed(); });
  element("mask-step").addEventListener("input", () => { stop(); mask(); });
  element("mask-site").addEventListener("change", () => { stop(); mask(); });
  element("mask-play").addEventListener("click", () => {
    if (playing) return stop();
    element("mask-play").textContent = "Stop";
    if (element("mask-step").valueAsNumber >= shown.masks.steps) element("mask-step").value = "0";
    play();
  });
}
