// The result: its layers, who is hidden, who is in front; the server composes, no model is run.

import * as api from "./api.js";
import { app } from "./app.js";
import { announce, attempt, fault } from "./messages.js";
import { LARGE } from "./photo.js";
import { Picture } from "./picture.js";

const flatten = document.getElementById("flatten");
const took = document.getElementById("took");
let asking = null;

const formatFor = (photo) => (photo.width * photo.height > LARGE ? "jpeg" : "png");

/** Fetch and show a finished job; true when it is shown. */
export async function showResult(job, photo) {
  const [blob, stack] = await Promise.all([api.result(job.id, formatFor(photo)), api.layers(job.id)]);
  const after = await Picture.load(blob, photo.width, photo.height);
  const layers = await Promise.all(stack.layers.map((layer) => withPicture(job, layer)));
  if (photo !== app.photo) {
    after.close();
    return false;
  }
  app.result?.after.close();
  const people = layers.filter((layer) => layer.kind === "person");
  const hidden = new Set(people.filter((layer) => layer.hidden).map((layer) => layer.owner));
  const order = people.map((layer) => layer.owner);
  const result = { id: job.id, kind: job.kind, after, layers, order, hidden, alone: null, apart: null, divider: 0 };
  // What was done with the layers, to be undone; and the choice that this is the result of.
  Object.assign(result, { past: [], future: [], edits: app.edits.now });
  result.first = { order, hidden: new Set(hidden) };
  const seconds = job.finished && job.started ? job.finished - job.started : 0;
  took.textContent = seconds ? `Made in ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} seconds, here.` : "";
  app.set({ mode: "result", result, job, rough: null, hover: 0 });
  if (job.kind === "layers" && order.length) void pullApart();
  return true;
}

async function withPicture(job, layer) {
  const blob = await api.layerPicture(job.id, layer.index);
  const bitmap = await createImageBitmap(blob);
  const byHand = !app.found.some((person) => person.id === layer.owner);
  const [x0, y0, x1, y1] = layer.box;
  return {
    ...layer,
    label: layer.kind === "background" ? "Background" : `${byHand ? "Marked" : "Person"} ${layer.owner}`,
    picture: { bitmap, x: x0, y: y0, width: x1 - x0, height: y1 - y0 },
  };
}

/** How the present choice differs from what the job did, in the API's words. */
export function choiceOf({ first, hidden, order }) {
  return {
    hide: [...hidden].filter((owner) => !first.hidden.has(owner)),
    show: [...first.hidden].filter((owner) => !hidden.has(owner)),
    front: raised(first.order, order),
  };
}

/**
 * The fewest people to move to the front, one after the other, that turn one order into the other: all after the longest
 * beginning of the new order that stands in the old one's sequence.
 */
export function raised(before, after) {
  let stay = 0;
  while (stay < after.length && (!stay || before.indexOf(after[stay]) > before.indexOf(after[stay - 1]))) stay++;
  return after.slice(stay);
}

export function toggleLayer(owner) {
  const hidden = new Set(app.result.hidden);
  if (!hidden.delete(owner)) hidden.add(owner);
  announce(`${nameOf(owner)} ${hidden.has(owner) ? "hidden" : "shown"}`);
  change({ hidden });
}

/** Put a person at a place of the order, 0 being the rearmost. */
export function moveLayer(owner, place) {
  const order = app.result.order.filter((other) => other !== owner);
  order.splice(Math.max(0, Math.min(order.length, place)), 0, owner);
  if (order.every((other, index) => other === app.result.order[index])) return;
  announce(`${nameOf(owner)} is number ${order.length - order.indexOf(owner)} from the front`);
  change({ order });
}

/** One layer by itself over chequers; once more, and the picture is back. The background is shown whole, without anybody. */
export async function showAlone(layer) {
  if (!(await whole(layer))) return;
  const alone = app.result.alone === layer.picture ? null : layer.picture;
  app.result = { ...app.result, alone };
  app.tell();
}

/** Pull the layers apart, or put them together again. */
export async function pullApart() {
  const { result } = app;
  if (!result?.order.length) return;
  if (!result.apart && !(await Promise.all(result.layers.map(whole))).every(Boolean)) return;
  app.result = { ...app.result, apart: result.apart ? null : { since: performance.now() }, alone: null };
  announce(app.result.apart ? "The layers are shown pulled apart." : "The layers are together again.");
  app.tell();
}

/** The background's picture becomes all of it, not only what lies behind people; false if it cannot be had any more. */
async function whole(layer) {
  if (layer.kind !== "background" || layer.whole) return true;
  const { photo, result } = app;
  const everybody = { hide: result.first.order.filter((owner) => !result.first.hidden.has(owner)) };
  const blob = await attempt(() => api.result(result.id, formatFor(photo), everybody));
  if (!blob || app.result?.id !== result.id) return false;
  layer.picture = { bitmap: await createImageBitmap(blob), x: 0, y: 0, width: photo.width, height: photo.height };
  layer.whole = true;
  return true;
}

/** The result as it is shown, as a file: what was erased from it can be erased from again. */
export async function resultFile() {
  const { result, photo } = app;
  return new File([await api.result(result.id, "png", choiceOf(result))], `${stemOf(photo)}.erased.png`, { type: "image/png" });
}

/** A photo's name without ending; said once that somebody was erased is enough. */
const stemOf = (photo) => photo.name.replace(/\.[^.]*$/, "").replace(/\.erased$/, "") || "photo";
const nameOf = (owner) => app.result.layers.find((layer) => layer.owner === owner)?.label ?? "";

/** A step of the user's, which can be undone. */
function change(fields) {
  const { order, hidden, past } = app.result;
  past.push({ order, hidden });
  app.result.future.length = 0;
  void recompose({ ...fields, alone: null });
}

/** Show the layers with another choice of who is there. */
export async function recompose(change) {
  const old = app.result;
  app.result = { ...old, ...change };
  app.tell();
  // Only the last of several quick choices matters.
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const { photo } = app;
  try {
    const blob = await api.result(old.id, formatFor(photo), choiceOf(app.result), signal);
    const after = await Picture.load(blob, photo.width, photo.height);
    if (signal.aborted || photo !== app.photo || app.result?.id !== old.id) return after.close();
    app.result.after.close();
    app.result = { ...app.result, after };
    app.tell();
  } catch (error) {
    if (signal.aborted) return;
    fault(error);
    if (app.result?.id === old.id) app.set({ result: { ...app.result, order: old.order, hidden: old.hidden } });
  }
}

/** Save the present choice as a file; the browser asks or not where to. */
export async function download(format) {
  const { result, photo } = app;
  const choice = { ...choiceOf(result), flatten_hidden: flatten.checked };
  const blob = await api.result(result.id, format, choice);
  const suffix = { jpeg: "jpg", zip: "layers.zip" }[format] ?? format;
  const stem = stemOf(photo);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${stem}.erased.${suffix}`;
  document.body.append(link);
  link.click();
  link.remove();
  // Some browsers begin to read only after this turn.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
