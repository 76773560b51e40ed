// Keyboard shortcuts of the whole page. Those of a single character can be switched off (WCAG 2.1.4).

import { app } from "./app.js";
import { held } from "./gestures.js";

const letters = document.getElementById("letters");
const STORED = "mild.letters";

letters.checked = localStorage.getItem(STORED) !== "off";
letters.addEventListener("change", () => localStorage.setItem(STORED, letters.checked ? "on" : "off"));

/** `deeds` are functions by name, see main.js. */
export function installKeys(deeds) {
  const single = {
    o: deeds.open, e: deeds.erase, c: deeds.compare, z: deeds.full, 0: deeds.fit, "+": deeds.larger, "=": deeds.larger,
    "-": deeds.smaller, "[": () => deeds.brush(-1), "]": () => deeds.brush(1), "?": deeds.help,
  };
  for (const [key, tool] of Object.entries({ v: "choose", b: "add", k: "take", p: "point", r: "box", h: "hand" })) {
    single[key] = () => deeds.tool(tool);
  }

  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target.closest?.("input[type=text], input[type=password], textarea, select");
    if (typing) return;
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && !event.altKey) {
      const deed = { z: event.shiftKey ? deeds.redo : deeds.undo, y: deeds.redo, s: deeds.save }[key];
      if (deed) {
        event.preventDefault();
        deed();
      }
      return;
    }
    if (event.altKey) return;
    if (event.key === "Escape") return deeds.escape();
    if (event.key === " " && event.target === document.getElementById("canvas")) {
      held.space = true;
      event.preventDefault();
      return;
    }
    if (!letters.checked) return;
    const deed = single[key] ?? (/^[1-9]$/.test(key) && app.mode === "choose" ? () => app.toggle(Number(key)) : null);
    if (deed) {
      event.preventDefault();
      deed();
    }
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") held.space = false;
  });
  window.addEventListener("blur", () => {
    held.space = false;
  });
}
