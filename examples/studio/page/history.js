// What this session has made. It outlasts a reload, not the tab.

import { urls } from "./server.js";

const KEY = "conceptrol-history";
const MOST = 60;
const list = document.getElementById("history-list");
let entries = [];
try {
  entries = JSON.parse(sessionStorage.getItem(KEY)) ?? [];
} catch { /* a session without storage begins empty */ }

/** Adds pictures, or brings them to the front: { settings, plain, own }. */
export function remember(entry) {
  entries = [entry, ...entries.filter(({ own, plain }) => own !== entry.own || plain !== entry.plain)].slice(0, MOST);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(entries));
  } catch { /* it is kept in this page then */ }
  show(entry);
}

let choose = () => {};

export function start(chosen) {
  choose = chosen;
  show(null);
}

function show(current) {
  document.getElementById("history").hidden = entries.length === 0;
  list.replaceChildren(...entries.map((entry) => {
    const { settings, own } = entry;
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    if (entry === current) button.setAttribute("aria-current", "true");
    const picture = document.createElement("img");
    picture.src = urls.result(own);
    picture.alt = "";
    picture.loading = "lazy";
    picture.addEventListener("error", () => { picture.hidden = true; }); // no longer kept
    const prompt = document.createElement("span");
    prompt.textContent = settings.prompt;
    const said = document.createElement("small");
    said.textContent = `scale ${settings.scale} · seed ${settings.seed}`;
    button.append(picture, prompt, said);
    button.addEventListener("click", () => {
      for (const other of list.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
      button.setAttribute("aria-current", "true");
      choose(entry);
    });
    item.append(button);
    return item;
  }));
}
