// The canvas: draws the photo, what lies over it, and the pointer's tool. It decides nothing.

import { share, sheets } from "./apart.js";
import { app } from "./app.js";
import { Overlay } from "./overlay.js";
import { View } from "./view.js";

export const canvas = document.getElementById("canvas");
export const view = new View();
/** What only the pointer knows: {live: stroke, box: [x0, y0, x1, y1], cursor: {x, y}, crosshair}. */
export const pointer = { live: null, box: null, cursor: null, crosshair: false };

const context = canvas.getContext("2d", { alpha: false });
let overlay = null;
let ratio = 1;
let asked = 0;
let shownPhoto = null;
let shownCrowd = null;
let colours = {};

/** Draw soon; any number of calls before the next frame are one. */
export function redraw() {
  if (!asked) asked = requestAnimationFrame(frame);
}

/** Screen pixels per pixel of the photo. */
export const sharpness = () => view.scale * ratio;
export const actualSize = (x, y) => view.zoom(1 / ratio, x, y);

function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = { back: style.getPropertyValue("--stage").trim(), accent: style.getPropertyValue("--accent-bright").trim(), text: style.getPropertyValue("--text").trim(), sheet: style.getPropertyValue("--sheet").trim() };
}

new ResizeObserver(() => {
  const { clientWidth, clientHeight } = canvas;
  ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(clientHeight * ratio));
  const inset = getComputedStyle(canvas).getPropertyValue("--inset").trim().split(" ").map(Number);
  view.resize(clientWidth, clientHeight, inset);
  // At once: a canvas that was resized is blank until it is drawn.
  frame();
}).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  redraw();
});
readColours();

app.addEventListener("change", () => {
  if (app.photo && app.photo !== shownPhoto) {
    shownPhoto = app.photo;
    view.show(app.photo);
  }
  refresh();
});
app.edits.addEventListener("change", refresh);

function refresh() {
  if (app.crowd !== shownCrowd) {
    const same = overlay && app.crowd && overlay.photo === app.photo;
    if (same) overlay.setCrowd(app.crowd);
    else overlay = app.crowd && Object.assign(new Overlay(app.crowd), { photo: app.photo });
    shownCrowd = app.crowd;
  }
  if (overlay) {
    overlay.setStrokes(app.edits.now.strokes);
    overlay.update(app.going, null);
  }
  redraw();
}

/** What goes, as a canvas whose alpha says so; null before anybody was looked for. */
export const maskNow = () => overlay?.mask(app.going) ?? null;

/** One more piece of the stroke under the pointer. */
export function paintLive(piece) {
  overlay?.update(app.going, piece);
  redraw();
}

/** The stroke was given up: draw without it. */
export function dropLive() {
  if (!overlay) return;
  overlay.paint.clear();
  overlay.shown = null;
  refresh();
}

function frame() {
  cancelAnimationFrame(asked);
  asked = 0;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = colours.back;
  context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  if (!app.photo) return;
  context.imageSmoothingEnabled = sharpness() < 2;
  context.imageSmoothingQuality = "high";
  const { result } = app;
  if (app.mode === "result" && result) drawResult(result);
  else {
    drawPicture(app.photo.picture);
    if (app.mode === "work" && app.rough) context.drawImage(app.rough, ...place(0, 0, app.photo.width, app.photo.height));
    else if (overlay && app.crowd && !app.busy) drawChoice();
  }
}

function place(x, y, width, height) {
  const corner = view.toScreen(x, y);
  return [corner.x, corner.y, width * view.scale, height * view.scale];
}

function drawPicture(picture) {
  context.drawImage(picture.at(sharpness(), redraw), ...place(0, 0, picture.width, picture.height));
}

function drawChoice() {
  context.globalAlpha = app.mode === "work" ? 0.7 : 1;
  context.drawImage(overlay.canvas, ...place(0, 0, app.photo.width, app.photo.height));
  context.globalAlpha = 1;
  const shape = app.hover && app.crowd.shapes.get(app.hover);
  if (shape) {
    const [x, y, w, h] = [shape.x, shape.y, shape.width, shape.height].map((value) => value / app.crowd.scale);
    context.globalAlpha = 0.28;
    context.globalCompositeOperation = "lighter";
    context.drawImage(lit(shape), ...place(x, y, w, h));
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
  }
  if (app.mode === "choose") drawTool();
}

/** The mask in the accent's colour, made once per person. */
function lit(shape) {
  if (!shape.lit) {
    shape.lit = new OffscreenCanvas(shape.width, shape.height);
    const light = shape.lit.getContext("2d");
    light.drawImage(shape.fill, 0, 0);
    light.globalCompositeOperation = "source-in";
    light.fillStyle = colours.accent;
    light.fillRect(0, 0, shape.width, shape.height);
  }
  return shape.lit;
}

/** A line in black and white: seen on whatever is below. */
function outlined(path) {
  for (const [width, colour] of [[3, "rgb(0 0 0 / 0.65)"], [1.25, "#fff"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
}

/** What is being brushed over on the result. */
function drawStroke({ points, radius }) {
  const path = new Path2D();
  for (const { x, y } of [points[0], ...points].map(([x, y]) => view.toScreen(x, y))) path.lineTo(x + 0.01, y);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 2 * radius * view.scale;
  context.strokeStyle = "rgb(229 48 28 / 0.45)";
  context.stroke(path);
}

function drawBrush() {
  const { x, y } = view.toScreen(pointer.cursor.x, pointer.cursor.y);
  const path = new Path2D();
  path.ellipse(x, y, app.radius * view.scale, app.radius * view.scale, 0, 0, 7);
  outlined(path);
}

function drawTool() {
  const path = new Path2D();
  if (pointer.box) {
    const [x0, y0, x1, y1] = pointer.box;
    path.rect(...place(x0, y0, x1 - x0, y1 - y0));
  }
  if (pointer.cursor) {
    const { x, y } = view.toScreen(pointer.cursor.x, pointer.cursor.y);
    if (app.tool === "add" || app.tool === "take") drawBrush();
    if (pointer.crosshair) {
      for (const [dx, dy] of [[1, 0], [0, 1]]) {
        path.moveTo(x - 14 * dx, y - 14 * dy);
        path.lineTo(x + 14 * dx, y + 14 * dy);
      }
    }
  }
  outlined(path);
}

function drawResult(result) {
  const { alone } = result;
  if (alone) {
    drawChequers();
    context.drawImage(alone.bitmap, ...place(alone.x, alone.y, alone.width, alone.height));
    return;
  }
  if (result.apart) return drawApart(result);
  drawPicture(result.after);
  if (pointer.live) drawStroke(pointer.live);
  if (app.touchUp && pointer.cursor) drawBrush();
  if (result.divider <= 0) return;
  const edge = view.toScreen(result.divider * app.photo.width, 0).x;
  context.save();
  context.beginPath();
  context.rect(0, 0, edge, canvas.clientHeight);
  context.clip();
  drawPicture(app.photo.picture);
  context.restore();
  if (result.divider >= 1) return;
  const [, top, , height] = place(0, 0, 0, app.photo.height);
  const low = Math.max(0, top);
  const high = Math.min(canvas.clientHeight, top + height);
  const line = new Path2D();
  line.moveTo(edge, low);
  line.lineTo(edge, high);
  outlined(line);
  const middle = (low + high) / 2;
  context.fillStyle = "#fff";
  context.shadowColor = "rgb(0 0 0 / 0.5)";
  context.shadowBlur = 6;
  context.beginPath();
  context.arc(edge, middle, 15, 0, 7);
  context.fill();
  context.shadowBlur = 0;
  context.fillStyle = "#23272c";
  for (const side of [-1, 1]) {
    context.beginPath();
    context.moveTo(edge + side * 10, middle);
    context.lineTo(edge + side * 4, middle - 5);
    context.lineTo(edge + side * 4, middle + 5);
    context.fill();
  }
}

/** Every layer on a sheet of its own, rear to front; whoever is hidden is only just there. Zoom and pan go on as ever. */
function drawApart({ apart, layers, order, hidden }) {
  const { photo } = app;
  const t = share(apart.since);
  const back = layers.filter((layer) => layer.owner === null);
  const stack = [...back, ...order.map((owner) => layers.find((layer) => layer.owner === owner))];
  const { matrices, width, height } = sheets(stack.length, photo, t);
  const room = view.fitScale * Math.min(photo.width / width, photo.height / height);
  const most = Math.min(view.room.width / width, view.room.height / height);
  const scale = (view.scale / view.fitScale) * (room + (Math.max(room, most) - room) * t);
  const middle = view.toScreen(photo.width / 2, photo.height / 2);
  stack.forEach((layer, k) => {
    context.save();
    context.translate(middle.x, middle.y);
    context.scale(scale, scale);
    context.transform(...matrices[k]);
    const { bitmap, x, y, width: wide, height: high } = layer.picture;
    context.fillStyle = colours.sheet;
    if (layer.owner !== null) context.fillRect(0, 0, photo.width, photo.height);
    context.globalAlpha = hidden.has(layer.owner) ? 0.25 : 1;
    context.drawImage(bitmap, x, y, wide, high);
    context.globalAlpha = 1;
    context.lineWidth = 1.5 / scale;
    context.strokeStyle = colours.accent;
    context.strokeRect(0, 0, photo.width, photo.height);
    label(layer.label, scale);
    context.restore();
  });
  if (t < 1) redraw();
}

/** A layer's name below its sheet, along its edge. */
function label(words, scale) {
  context.font = `600 ${13 / scale}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.fillStyle = colours.text;
  context.fillText(words, 4 / scale, app.photo.height + 6 / scale);
}

/** What stands for transparency. */
function drawChequers() {
  const [left, top, width, height] = place(0, 0, app.photo.width, app.photo.height);
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  const side = 12;
  const tile = new OffscreenCanvas(2 * side, 2 * side);
  const squares = tile.getContext("2d");
  squares.fillStyle = "#fff";
  squares.fillRect(0, 0, 2 * side, 2 * side);
  squares.fillStyle = "#d5d8dc";
  squares.fillRect(0, 0, side, side);
  squares.fillRect(side, side, side, side);
  context.fillStyle = context.createPattern(tile, "repeat");
  context.fillRect(Math.max(0, left), Math.max(0, top), canvas.clientWidth, canvas.clientHeight);
  context.restore();
}
