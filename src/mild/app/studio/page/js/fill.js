// What fills the background: a choice only where the server has more than the built-in.

import * as api from "./api.js";

const BUILT_IN = "patchmatch";
const choice = document.getElementById("fill");

/** The part of a request that says how; nothing where the default is meant. */
export function methodNow() {
  return choice.value && choice.value !== BUILT_IN ? { method: { fill: choice.value } } : {};
}

/** Offer what the server has, once it is known. */
export function offer({ fillers = [] }) {
  if (choice.options.length || fillers.length < 2) return;
  choice.replaceChildren(
    ...fillers.map((name) => {
      const option = document.createElement("option");
      option.value = name;
      option.textContent = name === BUILT_IN ? "built-in" : name;
      return option;
    }),
  );
  document.getElementById("fill-choice").hidden = false;
}

/** Ask the server what it has; without an answer there is the built-in alone. */
export async function offered() {
  try {
    offer(await api.limits());
  } catch {
    // whoever asks next says why
  }
}
