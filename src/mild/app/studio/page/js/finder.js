// The finder's nets: where they are missing the page offers to fetch them, with size and licence, and never does so unasked.

import * as api from "./api.js";
import { app } from "./app.js";
import { attempt, note } from "./messages.js";

const box = document.getElementById("finder");
const words = document.getElementById("finder-words");
const button = document.getElementById("finder-fetch");
let state = null;

/** Can people be searched for here? {ready, name, licence, kept, download}. */
export async function searchable() {
  try {
    state ??= await api.finder();
  } catch {
    return { ready: true }; // a server without this: it says itself what is wrong
  }
  const { ready, name, licence, kept, download } = state;
  box.hidden = ready;
  if (!ready) words.textContent = `People were not searched for: the finder's nets (${name}) are not on this machine yet (${licence}; ${kept} MB, ${download} MB to fetch).`;
  return state;
}

/** Fetch the nets, and look again. */
export function onFetched(look) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    app.set({ busy: "Fetching the finder…" });
    const fetched = await attempt(api.fetchFinder);
    button.disabled = false;
    app.set({ busy: "" });
    if (!fetched) return;
    state = fetched;
    box.hidden = fetched.ready;
    note("The finder is here.");
    look();
  });
}
