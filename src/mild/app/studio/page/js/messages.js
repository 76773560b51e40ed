// Sentences for the user: they go by themselves, faults after longer; both are read aloud.

import { Refusal } from "./api.js";

const SHORT = 5000;
const LONG = 20_000;
const box = document.getElementById("message");
const text = document.getElementById("message-text");
const quiet = document.getElementById("announcement");
let timer = 0;

document.getElementById("message-close").addEventListener("click", hide);

function hide() {
  box.hidden = true;
  text.textContent = "";
}

function show(sentence, fault) {
  clearTimeout(timer);
  text.textContent = sentence;
  box.classList.toggle("fault", fault);
  box.hidden = false;
  timer = setTimeout(hide, fault ? LONG : SHORT);
}

export const note = (sentence) => show(sentence, false);

/** For screen readers alone: what everybody else sees on the photo. */
export function announce(sentence) {
  quiet.textContent = sentence;
}

/** Any error as one sentence; only our own faults go to the console as well. */
export function fault(error) {
  if (error?.name === "AbortError") return;
  if (error instanceof Refusal && error.lost) return; // said for as long as it lasts, see connection.js
  if (error instanceof Refusal) show(error.message, true);
  else if (typeof error === "string") show(error, true);
  else {
    console.error(error);
    show("The page failed unexpectedly; reloading it keeps your photo and your choice.", true);
  }
}

/** Runs something that may fail, and says so if it does. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    fault(error);
    return undefined;
  }
}
