// A lost connection is said for as long as it lasts, and mends itself: the page goes on where it stopped.

import { onLost } from "./api.js";
import { announce } from "./messages.js";

const AGAIN = 2000;
const BETWEEN = 10_000;
const box = document.getElementById("lost");
const menders = [];
let lost = false;

/** `mend()` is called whenever the server is there again. */
export function onMended(mend) {
  menders.push(mend);
}

async function answers() {
  try {
    // A file of the page: no key is asked for, and no photo is touched.
    await fetch(new URL("icon.svg", document.baseURI), { cache: "no-store", method: "GET" });
    return true;
  } catch {
    return false;
  }
}

async function say() {
  if (lost) return;
  lost = true;
  box.hidden = false;
  announce(box.textContent);
  while (!(await answers())) await new Promise((resolve) => setTimeout(resolve, AGAIN));
  lost = false;
  box.hidden = true;
  announce("The server answers again.");
  for (const mend of menders) mend();
}

onLost(say);
// Also while nobody asks anything: what is not there should be known before Erase is pressed.
setInterval(async () => {
  if (document.visibilityState === "visible" && !lost && !(await answers())) void say();
}, BETWEEN);
