// The prompt's words as buttons. The picked ones are neighbours: one phrase.

const list = document.getElementById("words");
const prompt = document.getElementById("prompt");
let words = [];
let picked = null; // { first, last }

/** Words and where they are; punctuation belongs to none. */
function split(text) {
  return [...text.matchAll(/[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N}'’_-]*|<[^\s<>]+>/gu)].map((match) => ({ text: match[0], start: match.index, end: match.index + match[0].length }));
}

const bytes = (text) => new TextEncoder().encode(text).length;

/** The bytes of the prompt that are picked, as the server counts them. */
export function concept() {
  if (!picked) return null;
  const { start } = words[picked.first];
  const { end } = words[picked.last];
  const first = bytes(prompt.value.slice(0, start));
  return { start: first, end: first + bytes(prompt.value.slice(start, end)) };
}

/** Picks the words at these bytes. */
export function setConcept(range) {
  words = split(prompt.value);
  picked = null;
  if (range) {
    const at = (end) => bytes(prompt.value.slice(0, end));
    const within = words.map((word, index) => index).filter((index) => at(words[index].start) < range.end && at(words[index].end) > range.start);
    if (within.length) picked = { first: within[0], last: within.at(-1) };
  }
  show();
}

function pick(index) {
  if (!picked) picked = { first: index, last: index };
  else if (index === picked.first - 1) picked.first = index;
  else if (index === picked.last + 1) picked.last = index;
  else if (picked.first === picked.last && index === picked.first) picked = null;
  else if (index === picked.first) picked.first += 1;
  else if (index === picked.last) picked.last -= 1;
  else picked = { first: index, last: index };
  show(index);
}

function show(focused) {
  list.replaceChildren(...words.map((word, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word.text;
    button.setAttribute("aria-pressed", String(Boolean(picked) && index >= picked.first && index <= picked.last));
    button.addEventListener("click", () => {
      pick(index);
      list.dispatchEvent(new Event("change", { bubbles: true }));
    });
    return button;
  }));
  if (focused !== undefined) list.children[focused]?.focus();
}

/** The prompt changed: the picked words stay picked where the same words are still there. */
function follow() {
  const before = picked && words.slice(picked.first, picked.last + 1).map((word) => word.text);
  const nth = picked && occurrences(before).indexOf(picked.first);
  words = split(prompt.value);
  picked = null;
  if (before) {
    const first = occurrences(before)[nth] ?? occurrences(before)[0];
    if (first !== undefined) picked = { first, last: first + before.length - 1 };
  }
  show();
}

function occurrences(phrase) {
  const same = (at) => phrase.every((text, index) => words[at + index]?.text.toLowerCase() === text.toLowerCase());
  return words.map((_, at) => at).filter(same);
}

prompt.addEventListener("input", () => {
  if (/[\r\n\t]/.test(prompt.value)) prompt.value = prompt.value.replace(/\s*[\r\n\t]\s*/g, " ");
  follow();
});
