// The list of layers, front first: eyes, order, and each alone.

import { app } from "./app.js";
import { attempt } from "./messages.js";
import { download, moveLayer, showAlone, toggleLayer } from "./result.js";
import { element, icon, thumbnail } from "./rows.js";

const OPEN = "M2 12s3.6-6.5 10-6.5S22 12 22 12s-3.6 6.5-10 6.5S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z";
const SHUT = "M3 10c2 3 5 4.5 9 4.5S19 13 21 10M6 13.5l-1.5 3M12 14.5V18M18 13.5l1.5 3";
const UP = "m6 15 6-6 6 6";
const DOWN = "m6 9 6 6 6-6";
const GRIP = "M9 6v.1M15 6v.1M9 12v.1M15 12v.1M9 18v.1M15 18v.1";

const list = document.getElementById("layers");
const hint = document.getElementById("layers-hint");
let shown = "";
let shownResult = 0;

function show() {
  const { result } = app;
  if (!result) return;
  const state = JSON.stringify([result.order, [...result.hidden], result.layers.findIndex((layer) => layer.picture === result.alone)]);
  if (shownResult === result.id && shown === state) return;
  shownResult = result.id;
  shown = state;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : "";
  const front = [...result.order].reverse().map((owner) => result.layers.find((layer) => layer.owner === owner));
  list.replaceChildren(...front.map(personRow), ...result.layers.filter((layer) => layer.owner === null).map(backgroundRow));
  hint.hidden = !front.length;
  if (focused) list.querySelector(`[data-key="${focused}"]`)?.focus();
}

/** A button that is found again after the list was built anew. */
function button(key, className, label, content, act, pressed = undefined) {
  const made = element("button", { type: "button", className, "aria-label": label, title: label }, content);
  made.dataset.key = key;
  if (pressed !== undefined) made.setAttribute("aria-pressed", pressed);
  made.addEventListener("click", act);
  return made;
}

function picture(layer) {
  const { bitmap, width, height } = layer.picture;
  const alone = app.result.alone === layer.picture;
  const small = thumbnail(bitmap, [0, 0, width, height]);
  return button(`alone ${layer.index}`, "picture", `Show ${layer.label} alone`, small, () => showAlone(layer), alone);
}

const words = (layer) => {
  const share = Math.round(100 * layer.generated);
  const made = layer.kind === "background" ? "behind everybody" : share ? `${share} % made new` : "from the photo";
  return element("span", { className: "name" }, element("span", {}, layer.label), element("small", {}, made));
};

function personRow(layer) {
  const { order, hidden } = app.result;
  const { owner, label } = layer;
  const away = hidden.has(owner);
  const place = order.indexOf(owner);
  const up = button(`up ${owner}`, "icon", `${label}: further to the front`, icon(UP), () => moveLayer(owner, place + 1));
  const down = button(`down ${owner}`, "icon", `${label}: further to the back`, icon(DOWN), () => moveLayer(owner, place - 1));
  // Not `disabled`: a button that goes away under the finger takes the focus with it.
  up.setAttribute("aria-disabled", place === order.length - 1);
  down.setAttribute("aria-disabled", place === 0);
  const eye = button(`eye ${owner}`, "icon eye", `Show ${label}`, icon(away ? SHUT : OPEN), () => toggleLayer(owner), !away);
  const grip = element("span", { className: "grip", title: "Drag to reorder" }, icon(GRIP));
  const row = element("li", { className: `row${away ? " away" : ""}` }, ...(order.length > 1 ? [grip] : []), picture(layer), words(layer));
  if (order.length > 1) row.append(element("span", { className: "moves" }, up, down));
  row.append(eye);
  row.addEventListener("keydown", (event) => {
    if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    moveLayer(owner, place + (event.key === "ArrowUp" ? 1 : -1));
  });
  grip.addEventListener("pointerdown", (event) => drag(event, row, owner));
  return row;
}

function backgroundRow(layer) {
  return element("li", { className: "row" }, picture(layer), words(layer));
}

/** The row follows the pointer and takes the place of whomever it passes; the order is told once it is let go. */
function drag(event, row, owner) {
  event.preventDefault();
  const grip = event.currentTarget;
  grip.setPointerCapture(event.pointerId);
  row.classList.add("dragged");
  let from = event.clientY;
  const follow = (moved) => {
    const shift = moved.clientY - from;
    row.style.transform = `translateY(${shift}px)`;
    const middle = row.getBoundingClientRect();
    const neighbour = shift > 0 ? row.nextElementSibling : row.previousElementSibling;
    if (!neighbour?.querySelector(".grip")) return;
    const other = neighbour.getBoundingClientRect();
    const passed = shift > 0 ? middle.bottom > other.top + other.height * 0.6 : middle.top < other.bottom - other.height * 0.6;
    if (!passed) return;
    // The row's own place moves by one; what the pointer counts from moves along.
    from += (shift > 0 ? 1 : -1) * (other.height + 6);
    // Moving the neighbour rather than the row: the row would lose the pointer.
    if (shift > 0) row.before(neighbour);
    else row.after(neighbour);
    row.style.transform = `translateY(${moved.clientY - from}px)`;
  };
  const stop = (how) => {
    grip.removeEventListener("pointermove", follow);
    row.classList.remove("dragged");
    row.style.transform = "";
    const place = [...list.children].indexOf(row);
    shown = "";
    if (how.type === "pointerup") moveLayer(owner, app.result.order.length - 1 - place);
    show();
  };
  grip.addEventListener("pointermove", follow);
  grip.addEventListener("pointerup", stop, { once: true });
  grip.addEventListener("pointercancel", stop, { once: true });
}

app.addEventListener("change", show);

document.getElementById("downloads").addEventListener("click", async (event) => {
  const chosen = event.target.closest("[data-format]");
  if (!chosen || chosen.getAttribute("aria-busy") === "true") return;
  chosen.setAttribute("aria-busy", "true");
  await attempt(() => download(chosen.dataset.format));
  chosen.removeAttribute("aria-busy");
});
