// Everything the page asks of the server. Whatever goes wrong comes out as a Refusal: one sentence for the user.

// Relative to the page, so that it works below any prefix a proxy may put in front.
const V1 = new URL("../v1/", document.baseURI);
const OVER = new Set(["done", "failed", "cancelled", "interrupted"]);
const AGAIN = 1000;

export class Refusal extends Error {
  constructor(sentence, status = 0) {
    super(sentence);
    this.status = status;
  }
}

let key = sessionStorage.getItem("mild.key") ?? "";
let askForKey = null;

/** `ask()` resolves to the key the user typed, or null; it is only called where the server wants one. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

let lost = () => {};
/** `listen()` is called whenever a request finds no server. */
export function onLost(listen) {
  lost = listen;
}

function away() {
  lost();
  return Object.assign(new Refusal("The MILD server does not answer; is it still running?"), { lost: true });
}

async function call(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    if (key) headers["X-API-Key"] = key;
    let response;
    try {
      response = await fetch(new URL(path, V1), { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw away();
    }
    if (response.status === 401 && askForKey) {
      if (await newKey()) continue;
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

async function newKey() {
  const typed = await askForKey();
  if (!typed) return false;
  key = typed;
  sessionStorage.setItem("mild.key", key);
  return true;
}

/** The sentence of a problem document (RFC 9457), or one of our own where something between us and the server spoke. */
async function refusal(response) {
  try {
    const problem = await response.json();
    if (problem.detail) return new Refusal(problem.detail, response.status);
  } catch {
    // not JSON: below
  }
  return new Refusal(`The server answered with the error ${response.status}.`, response.status);
}

const json = async (path, options) => (await call(path, options)).json();
const post = (path, body) =>
  json(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const limits = () => json("limits");

/** Send a photo; `tell` hears the share that is sent, 0 to 1, which only the older kind of request can say. */
export async function upload(file, tell = () => {}) {
  const form = new FormData();
  form.append("photo", file, file.name || "photo");
  for (;;) {
    const { status, text } = await new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", new URL("photos", V1));
      if (key) request.setRequestHeader("X-API-Key", key);
      request.upload.onprogress = (event) => event.lengthComputable && tell(event.loaded / event.total);
      request.onload = () => resolve({ status: request.status, text: request.responseText });
      request.onerror = () => reject(away());
      request.send(form);
    });
    if (status === 401 && askForKey && (await newKey())) continue;
    if (status >= 200 && status < 300) return JSON.parse(text);
    throw await refusal(new Response(text, { status }));
  }
}

export const finder = () => json("studio/finder");
export const fetchFinder = () => post("studio/finder", {});
export const forgetPhoto = (id) => call(`photos/${id}`, { method: "DELETE" });
export const smallPicture = async (id) => (await call(`photos/${id}/picture?max_side=256`)).blob();

export const photoInfo = (id) => json(`photos/${id}`);
export const people = (id, backend = "auto") => json(`photos/${id}/people?masks=true&backend=${backend}`);
export const things = (id) => json(`photos/${id}/things`);
export const select = (id, selection) => post(`photos/${id}/select?masks=true`, selection);

/** The photo itself; as JPEG where a PNG of so many pixels would take longer than looking at it is worth. */
export async function photoPicture(id, large) {
  return (await call(`photos/${id}/picture${large ? "?max_side=16384" : ""}`)).blob();
}

export const startJob = (kind, photoId, request) => post("jobs", { kind, photo_id: photoId, request });
export const jobStatus = (id) => json(`jobs/${id}`);
export const cancelJob = (id) => post(`jobs/${id}/cancel`, {});
export const layers = (id) => json(`jobs/${id}/layers`);
export const layerPicture = async (id, index) => (await call(`jobs/${id}/layers/${index}.png`)).blob();

/**
 * The result in a format, with another choice of who is there: {hide, show, front}, lists of numbers; and with
 * {flatten_hidden: true} a layered file without those who are hidden and without the original.
 */
export async function result(id, format, choice = {}, signal = undefined) {
  const query = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(choice)) {
    if (value === true) query.set(name, "true");
    else if (value.length) query.set(name, value.join(","));
  }
  return (await call(`jobs/${id}/result?${query}`, { signal })).blob();
}

/**
 * The job's status at every change until it is over. A broken connection is taken up again: the job goes on without
 * us, and so we can, too.
 */
export async function* watch(id, signal) {
  for (;;) {
    let status = null;
    try {
      for await (status of events(id, signal)) {
        yield status;
        if (OVER.has(status.state)) return;
      }
    } catch (error) {
      // A wrong id stays wrong; a server that is away may come back.
      if (error.name === "AbortError" || (error instanceof Refusal && error.status)) throw error;
      yield { id, state: "away" };
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
    if (signal?.aborted) return;
  }
}

/** Server-sent events by fetch rather than EventSource, which cannot send a key. */
async function* events(id, signal) {
  const response = await call(`jobs/${id}/events`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: "));
      if (data.length) yield JSON.parse(data.map((line) => line.slice(6)).join("\n"));
    }
  }
}
