// The page: one job at a time, and what is heard of it.

import { begin as ask, generate } from "./server.js";
import * as form from "./form.js";
import * as history from "./history.js";
import * as picture from "./picture.js";
import * as result from "./result.js";

const element = (id) => document.getElementById(id);
const NAMES = { adapter: "Plain adapter", conceptrol: "Conceptrol", text: "Text only" };
let running = null; // the AbortController of the job
let said = "";

/** Tells people who listen, not more often than something new begins. */
function announce(text) {
  if (text === said) return;
  said = text;
  element("live").textContent = text;
}

function notes(lines) {
  element("notes").hidden = lines.length === 0;
  element("notes").replaceChildren(...lines.map((line) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    return paragraph;
  }));
}

function busy(is) {
  if (!is && document.activeElement === element("cancel")) element("generate").focus();
  element("cancel").hidden = !is;
  element("generate").setAttribute("aria-disabled", String(is));
  element("progress").hidden = !is;
  if (is) return;
  element("preview").hidden = true;
  document.title = "Conceptrol studio";
}

const left = (seconds) => {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 90 ? `about ${Math.max(1, Math.ceil(seconds))} s left` : `about ${Math.round(seconds / 60)} min left`;
};

/** Shows where the job stands. */
function progress(news) {
  const { state, method, done, total } = news;
  const bar = element("bar");
  const stages = {
    queued: () => (news.before ? `${news.before} before you` : "Next in line"),
    opening: () => "Opening the model",
    encoding: () => "Reading prompt and reference",
    denoising: () => `${NAMES[method]}: step ${done} of ${total}`,
    decoding: () => `${NAMES[method]}: last touches`,
  };
  const stage = stages[state]?.() ?? "";
  element("stage").textContent = stage;
  element("left").textContent = left(news.left);
  if (total) bar.value = done / total;
  else bar.removeAttribute("value");
  const percent = total ? Math.floor((100 * done) / total) : null;
  document.title = percent === null ? "… · Conceptrol studio" : `${percent} % · Conceptrol studio`;
  announce(state === "denoising" ? `${NAMES[method]}, ${Math.floor(percent / 25) * 25} percent` : stage);
  if (news.preview) {
    element("preview").hidden = false;
    element("preview").src = news.preview.picture;
  }
}

/** Carries out an order; the pictures, or nothing if it was cancelled or refused. */
async function run(order) {
  running?.abort();
  const controller = new AbortController();
  running = controller;
  form.showRefusal(null);
  notes([]);
  busy(true);
  progress({ state: "queued", before: 0 });
  try {
    for await (const news of generate(order, controller.signal)) {
      if (running !== controller) return null;
      if (news.state === "done") return news.pictures;
      if (news.state === "failed") throw news;
      if (news.state === "cancelled") return null;
      progress(news);
    }
    throw { field: null, message: "The connection to the server broke." };
  } catch (error) {
    if (error.name === "AbortError") {
      if (running === controller) announce("Cancelled");
      return null;
    }
    form.showRefusal(error);
    announce(error.message);
    return null;
  } finally {
    if (running === controller) {
      running = null;
      busy(false);
    }
  }
}

/** Runs settings and shows what comes of them. `plain` is a picture to keep beside them. */
async function paint(settings, methods, plain = null) {
  const pictures = await run({ settings, methods });
  if (!pictures) return;
  const of = (method) => pictures.find((made) => made.method === method)?.id;
  const entry = { settings, reference_name: picture.referenceName(), plain: of("adapter") ?? plain, own: of("conceptrol") ?? of("text") };
  await result.show(entry).catch(form.showRefusal);
  history.remember(entry);
  const cut = pictures.map((made) => made.truncated).find(Boolean);
  notes(cut ? [cut] : []);
  announce(pictures.every((made) => made.reused) ? "Finished; it was computed before" : "Finished");
}

function submit() {
  const settings = form.settings();
  const references = settings.reference !== null;
  paint(settings, references ? ["adapter", "conceptrol"] : ["text"]);
  if (matchMedia("(max-width: 820px)").matches && running) element("result").scrollIntoView({ block: "start" });
}

function restore(restored) {
  form.showRefusal(null);
  form.setSettings(restored);
  notes(["The picture’s settings are in the form.", ...restored.notes]);
  announce(["The picture’s settings are in the form.", ...restored.notes].join(" "));
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) submit();
});
addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !running) submit();
  if (event.key === "Escape" && running) running.abort();
  if (event.key === "Enter" && event.target.id === "prompt" && !event.shiftKey) event.preventDefault();
});
// of small pictures the pixels are shown
document.addEventListener("load", ({ target }) => {
  if (target instanceof HTMLImageElement) target.classList.toggle("pixels", Math.max(target.naturalWidth, target.naturalHeight) <= 160);
}, true);
element("cancel").addEventListener("click", () => running?.abort());

try {
  const start = await ask();
  picture.start(start, { restore, refuse: form.showRefusal });
  form.begin(start);
  result.start((settings, both, plain) => paint(settings, both ? ["adapter", "conceptrol"] : ["conceptrol"], plain));
  history.start(async (entry) => {
    form.setSettings({ ...entry.settings, reference_name: entry.reference_name });
    await result.show(entry).catch(() => notes(["These pictures are no longer kept. Their settings are in the form: generate them again."]));
  });
  document.documentElement.dataset.ready = "yes";
} catch (error) {
  form.showRefusal(error);
}
