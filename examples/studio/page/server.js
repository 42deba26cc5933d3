// What is asked of the server. What it refuses is thrown as a Refusal, with the field that it is about.

export class Refusal extends Error {
  constructor({ field = null, message }) {
    super(message);
    this.field = field;
  }
}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal({ message: "The server does not answer." });
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  throw new Refusal(said ?? { message: `The server refuses (${response.status}).` });
}

export const begin = async () => (await answer(fetch("/api/start"))).json();

export const about = async (id) => (await answer(fetch(`/api/results/${id}`))).json();

/** Sends a picture; its id, size, and the settings it carries. */
export async function upload(file, name) {
  const query = new URLSearchParams({ name });
  return (await answer(fetch(`/api/pictures?${query}`, { method: "POST", body: file }))).json();
}

/** Asks for pictures, and tells what becomes of them. Aborting ends the job: it lives as long as the answer is read. */
export async function* generate(order, signal) {
  const response = await answer(fetch("/api/jobs", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(order),
    signal,
  }));
  let text = "";
  try {
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (text + value).split("\n");
      text = lines.pop();
      yield* lines.filter(Boolean).map((line) => JSON.parse(line));
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal({ message: "The connection to the server broke." });
  }
}

export const urls = {
  picture: (id) => `/api/pictures/${id}`,
  result: (id) => `/api/results/${id}/picture.png`,
  mask: (id, site, step) => `/api/results/${id}/mask.png?site=${site}&step=${step}`,
  sheet: (id, beside) => `/api/results/${id}/sheet.png${beside ? `?beside=${beside}` : ""}`,
};
