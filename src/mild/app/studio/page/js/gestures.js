// Mouse, finger and pen on the photo: one pointer uses the tool, two zoom, the wheel zooms, the middle button pans.
// Keyboard: arrows move a crosshair, Enter does what a click would.

import { app } from "./app.js";
import { announce } from "./messages.js";
import { canvas, dropLive, paintLive, pointer, redraw, view } from "./stage.js";

const MOVED = 5;
/** How near, in CSS pixels, the divider of before and after must be touched. */
const GRIP = 22;

/** Milliseconds after which a finger that rests on the result shows the photo as it was. */
const LONG = 450;

/** Set by the page's main module: markPoint(x, y, how), markBox(x0, y0, x1, y1), setDivider(share), eraseNow(), zoomed(). */
export const actions = {};

const touches = new Map();
let action = null;
let pinch = null;
/** First corner of a box drawn by keyboard. */
let corner = null;
export const held = { space: false };

const local = (event) => {
  const frame = canvas.getBoundingClientRect();
  return { x: event.clientX - frame.left, y: event.clientY - frame.top };
};
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const inPhoto = ({ x, y }) => ({ x: clamp(x, 0, app.photo.width - 1), y: clamp(y, 0, app.photo.height - 1) });
const isInside = ({ x, y }) => x >= 0 && y >= 0 && x < app.photo.width && y < app.photo.height;
const ready = () => app.photo && !app.busy;
const brushing = () => app.mode === "choose" && (app.tool === "add" || app.tool === "take");

canvas.addEventListener("pointerdown", (event) => {
  if (!ready()) return;
  canvas.setPointerCapture(event.pointerId);
  const at = local(event);
  touches.set(event.pointerId, at);
  pointer.crosshair = false;
  if (touches.size === 2) {
    abandon();
    pinch = measure();
    return;
  }
  if (touches.size > 2) return;
  action = begin(event, at);
});

/** Which action a press begins; {kind, start, …}. */
function begin(event, at) {
  const start = view.toPhoto(at.x, at.y);
  if (event.button === 1 || held.space || app.tool === "hand" || app.mode === "work") return { kind: "pan", last: at };
  if (app.mode === "result") {
    if (event.button === 0 && app.result.kind === "erase" && !app.result.apart && !app.result.alone && (app.touchUp || event.shiftKey)) {
      const stroke = { mode: "add", radius: app.radius, points: [[start.x, start.y]] };
      pointer.live = stroke;
      return { kind: "brush", stroke };
    }
    if (event.pointerType === "touch") rest(at);
    const { divider } = app.result;
    const alone = app.result.alone ?? app.result.apart;
    const edge = view.toScreen(divider * app.photo.width, 0).x;
    const onDivider = !alone && Math.abs(edge - at.x) < GRIP;
    // The photo that fits has nowhere to go: then a drag anywhere means the divider.
    return onDivider || (!alone && view.fitted) ? { kind: "divide", last: at } : { kind: "pan", last: at };
  }
  if (event.button !== 0) return null;
  if (brushing()) {
    const stroke = { mode: app.tool, radius: app.radius, points: [[start.x, start.y]] };
    paintLive(stroke);
    return { kind: "brush", stroke };
  }
  if (app.tool === "box") return { kind: "box", start: inPhoto(start) };
  return { kind: "click", start, at, last: at };
}

// A double click on somebody, found or missed, is a choice and the word to begin.
canvas.addEventListener("dblclick", (event) => {
  if (app.mode !== "choose" || app.tool !== "choose" || !app.photo?.id) return;
  const at = local(event);
  const { x, y } = view.toPhoto(at.x, at.y);
  if (!isInside({ x, y })) return;
  const id = app.crowd?.at(x, y) ?? 0;
  // The second click took back what the first had chosen.
  if (id && !app.going.includes(id)) app.edits.undo();
  actions.eraseNow();
});
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

let resting = 0;
/** A finger that rests on the result shows the photo as it was, until it is lifted. */
function rest(at) {
  clearTimeout(resting);
  resting = setTimeout(() => {
    if (!action || touches.size !== 1 || Math.hypot(action.last?.x - at.x, action.last?.y - at.y) > MOVED) return;
    action = { kind: "look" };
    actions.setDivider(1);
  }, LONG);
}

canvas.addEventListener("pointermove", (event) => {
  if (!ready()) return;
  const at = local(event);
  const here = view.toPhoto(at.x, at.y);
  if (touches.has(event.pointerId)) touches.set(event.pointerId, at);
  if (pinch && touches.size === 2) {
    const now = measure();
    view.pan(now.x - pinch.x, now.y - pinch.y);
    view.zoom((view.scale * now.apart) / pinch.apart, now.x, now.y);
    pinch = now;
    actions.zoomed();
    return;
  }
  pointer.cursor = event.pointerType === "touch" && !action ? null : here;
  if (!action) hover(here, at);
  else move(event, at, here);
  redraw();
});

function move(event, at, here) {
  if (action.kind === "pan") {
    view.pan(at.x - action.last.x, at.y - action.last.y);
    action.last = at;
    actions.zoomed();
  } else if (action.kind === "divide") {
    action.last = at;
    actions.setDivider(clamp(here.x / app.photo.width, 0, 1));
  } else if (action.kind === "brush") {
    // A fast hand moves further than one event tells.
    const events = event.getCoalescedEvents?.() ?? [];
    const { stroke } = action;
    const from = stroke.points.at(-1);
    for (const each of events.length ? events : [event]) {
      const spot = local(each);
      const { x, y } = view.toPhoto(spot.x, spot.y);
      stroke.points.push([Math.round(x * 4) / 4, Math.round(y * 4) / 4]);
    }
    if (app.mode === "choose") paintLive({ ...stroke, points: [from, ...stroke.points.slice(stroke.points.lastIndexOf(from) + 1)] });
  } else if (action.kind === "box") {
    const end = inPhoto(here);
    pointer.box = boxOf(action.start, end);
  } else if (action.kind === "click" && Math.hypot(at.x - action.at.x, at.y - action.at.y) > MOVED) {
    action = { kind: "pan", last: action.at };
    move(event, at, here);
  }
}

function hover(here, at) {
  let cursor = "default";
  if (app.tool === "hand" || held.space || app.mode === "work") cursor = "grab";
  else if (app.mode === "result") {
    const edge = view.toScreen((app.result?.divider ?? 0) * app.photo.width, 0).x;
    if (app.touchUp) cursor = "none";
    else cursor = !app.result?.apart && (Math.abs(edge - at.x) < GRIP || view.fitted) ? "ew-resize" : "grab";
  } else if (brushing()) cursor = "none";
  else if (app.tool === "box" || app.tool === "point") cursor = "crosshair";
  const over = app.mode === "choose" && app.crowd && ["choose", "point"].includes(app.tool) ? app.crowd.at(here.x, here.y) : 0;
  if (over && app.tool === "choose") cursor = "pointer";
  canvas.style.cursor = cursor;
  if (over !== app.hover) {
    app.hover = over;
    app.dispatchEvent(new Event("hover"));
  }
}

canvas.addEventListener("pointerup", (event) => {
  touches.delete(event.pointerId);
  if (pinch) {
    if (!touches.size) pinch = null;
    return;
  }
  const done = action;
  action = null;
  clearTimeout(resting);
  if (done?.kind === "look") actions.setDivider(0);
  if (!done || !ready()) return;
  const spot = local(event);
  const here = view.toPhoto(spot.x, spot.y);
  pointer.live = null;
  if (done.kind === "brush") {
    app.edits.change({ strokes: addStroke(done.stroke) });
    if (app.mode === "result") actions.eraseNow();
  }
  else if (done.kind === "box") finishBox(done.start, inPhoto(here));
  else if (done.kind === "click") click(here, event.shiftKey ? "also" : event.altKey ? "not" : "");
  redraw();
});

canvas.addEventListener("pointercancel", (event) => {
  touches.delete(event.pointerId);
  pinch = null;
  clearTimeout(resting);
  if (action?.kind === "look") actions.setDivider(0);
  abandon();
});

canvas.addEventListener("pointerleave", () => {
  if (action || pointer.crosshair) return;
  pointer.cursor = null;
  if (app.hover) {
    app.hover = 0;
    app.dispatchEvent(new Event("hover"));
  }
  redraw();
});

/** A second finger means that the first one did not mean it. */
function abandon() {
  if (action?.kind === "brush" && app.mode === "choose") dropLive();
  pointer.live = null;
  pointer.box = null;
  action = null;
  redraw();
}

function addStroke(stroke) {
  // The live pieces are on the canvas already; redrawing the whole stroke over them changes nothing.
  return [...app.edits.now.strokes, Object.freeze(stroke)];
}

function click(here, how = "") {
  if (!isInside(here)) return;
  const id = app.tool === "point" ? 0 : app.crowd?.at(here.x, here.y) ?? 0;
  if (id) app.toggle(id);
  // Where nobody was found, a click means that somebody was missed there.
  else actions.markPoint(Math.floor(here.x), Math.floor(here.y), how || (app.tool === "point" ? app.refine : ""));
}

const boxOf = (a, b) => [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];

function finishBox(start, end) {
  const [x0, y0, x1, y1] = boxOf(start, end);
  pointer.box = null;
  const least = MOVED / view.scale;
  if (x1 - x0 < least || y1 - y0 < least) return;
  actions.markBox(Math.floor(x0), Math.floor(y0), Math.ceil(x1) + 1, Math.ceil(y1) + 1);
}

function measure() {
  const [a, b] = [...touches.values()];
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)) };
}

canvas.addEventListener(
  "wheel",
  (event) => {
    if (!ready()) return;
    event.preventDefault();
    const at = local(event);
    // Lines and pages, where a mouse counts in them, are larger than pixels.
    const amount = event.deltaY * [1, 24, 240][event.deltaMode];
    view.zoom(view.scale * Math.exp(-clamp(amount, -240, 240) / 400), at.x, at.y);
    actions.zoomed();
    redraw();
  },
  { passive: false },
);

canvas.addEventListener("keydown", (event) => {
  if (!ready() || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (step) arrow(step, event.shiftKey);
  else if (event.key === "Enter" || event.key === " ") press();
  else if (event.key === "Escape" && corner) corner = pointer.box = null;
  else return;
  event.preventDefault();
  event.stopPropagation();
  redraw();
});

canvas.addEventListener("blur", () => {
  pointer.crosshair = false;
  corner = null;
  redraw();
});

function arrow([dx, dy], fine) {
  if (app.mode === "result") {
    actions.setDivider(clamp(app.result.divider + dx * (fine ? 0.005 : 0.05), 0, 1));
    return;
  }
  const step = (fine ? 2 : 16) / view.scale;
  const from = pointer.cursor ?? { x: app.photo.width / 2, y: app.photo.height / 2 };
  pointer.cursor = inPhoto({ x: from.x + dx * step, y: from.y + dy * step });
  pointer.crosshair = true;
  if (corner) pointer.box = boxOf(corner, pointer.cursor);
  const over = app.crowd?.at(pointer.cursor.x, pointer.cursor.y) ?? 0;
  if (over !== app.hover) {
    app.hover = over;
    app.dispatchEvent(new Event("hover"));
    announce(over ? `Person ${over}` : "Nobody");
  }
}

function press() {
  if (app.mode !== "choose" || !pointer.cursor) return;
  const { x, y } = pointer.cursor;
  if (brushing()) app.edits.change({ strokes: addStroke({ mode: app.tool, radius: app.radius, points: [[x, y]] }) });
  else if (app.tool === "box" && !corner) {
    corner = { x, y };
    announce("First corner set; move to the other one and press Enter.");
  } else if (app.tool === "box") {
    finishBox(corner, { x, y });
    corner = null;
  } else click(pointer.cursor);
}
