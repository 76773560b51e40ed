// The list of people: the same toggles as on the photo, for whoever prefers or needs a list.

import { app } from "./app.js";
import { goesAlong, toggleThing } from "./photo.js";
import { redraw } from "./stage.js";
import { element, thumbnail } from "./rows.js";

const list = document.getElementById("people");
const hint = document.getElementById("hint");
const erase = document.getElementById("erase");
const apart = document.getElementById("apart");
const both = document.getElementById("all-none");
let shownCrowd = null;
let shownBeside = null;
let rows = new Map();

const HINTS = {
  choose: "Click whoever should go, on the photo or in the list; also somebody who was missed. Red stripes mean: this goes.",
  add: "Paint what should go as well.",
  take: "Paint over red stripes what should stay.",
  point: "Click on somebody, or something, that was missed; then + and − add to it and take away.",
  box: "Draw a box around somebody, or something, that was missed.",
  hand: "Drag to move the photo.",
};

function build() {
  rows = new Map();
  list.replaceChildren(
    ...app.everybody.map(({ id, person, mark }) => {
      const name = mark < 0 ? `Person ${id}` : `Marked ${id}`;
      const doubt = mark < 0 && !person.sure ? "perhaps" : mark < 0 ? "" : "by hand";
      const state = element("span", { className: "state" });
      const { small, width } = app.photo.picture;
      const words = element("span", { className: "name" }, name, ...(doubt ? [element("small", {}, doubt)] : []));
      const button = element("button", { type: "button", className: "toggle", "data-person": id }, thumbnail(small, person.box, small.width / width), words, state);
      const along = app.beside.filter((thing) => mark < 0 && thing.person === id).map((thing) => {
        const also = element("button", { type: "button", className: "along", title: `Erases the ${thing.kind}, too` }, `${thing.kind}${thing.held ? "" : "?"}`);
        also.addEventListener("click", () => toggleThing(thing));
        return { also, thing };
      });
      const row = element("li", { className: "row" }, button, ...along.map(({ also }) => also));
      button.addEventListener("click", () => app.toggle(id));
      const light = (on) => () => {
        app.hover = on ? id : 0;
        app.dispatchEvent(new Event("hover"));
        redraw();
      };
      button.addEventListener("pointerenter", light(true));
      button.addEventListener("pointerleave", light(false));
      button.addEventListener("focus", light(true));
      button.addEventListener("blur", light(false));
      rows.set(id, { row, button, state, along });
      return row;
    }),
  );
}

/** "2 people + 1 marked": what the button promises. */
function whatGoes() {
  const { chosen, marks, strokes } = app.edits.now;
  const marked = marks.filter((mark) => mark.on).length;
  const parts = [];
  if (chosen.length) parts.push(chosen.length === 1 ? "1 person" : `${chosen.length} people`);
  if (marked) parts.push(`${marked} marked`);
  if (strokes.some((stroke) => stroke.mode === "add")) parts.push("painted part");
  return parts.join(" + ");
}

function show() {
  if (app.mode === "start" || !app.photo) return;
  if (app.crowd !== shownCrowd || app.beside !== shownBeside || rows.size !== app.everybody.length) {
    [shownCrowd, shownBeside] = [app.crowd, app.beside];
    build();
  }
  for (const { id, going } of app.everybody) {
    const { row, button, state, along } = rows.get(id);
    row.classList.toggle("going", going);
    button.setAttribute("aria-pressed", going);
    state.textContent = going ? "erase" : "keep";
    for (const { also, thing } of along) {
      also.hidden = !going;
      also.setAttribute("aria-pressed", goesAlong(thing));
    }
  }
  both.hidden = app.everybody.length < 2;
  const nobody = app.crowd && !app.everybody.length;
  hint.textContent = nobody && app.tool === "choose" ? `${app.searched ? "Nobody was found" : "Nobody was searched for"}. Mark somebody with a click or a box, or paint with the brush.` : HINTS[app.tool];
  erase.disabled = !!app.busy || app.edits.empty;
  erase.textContent = `Erase ${whatGoes()}`.trim();
  apart.disabled = !!app.busy || !app.everybody.length;
}

app.addEventListener("change", show);
app.edits.addEventListener("change", show);
app.addEventListener("hover", () => {
  for (const [id, { row }] of rows) row.classList.toggle("lit", id === app.hover);
});

document.getElementById("everyone").addEventListener("click", () =>
  app.edits.change({
    chosen: app.found.filter((person) => person.sure || app.edits.now.chosen.includes(person.id)).map((person) => person.id),
    marks: app.edits.now.marks.map((mark) => ({ ...mark, on: true })),
  }),
);
document.getElementById("nobody").addEventListener("click", () =>
  app.edits.change({ chosen: [], marks: app.edits.now.marks.map((mark) => ({ ...mark, on: false })), strokes: [] }),
);
