// A job: started from the user's choice, watched, cancelled, found again after a reload.

import * as api from "./api.js";
import { app } from "./app.js";
import { selectionOf } from "./edits.js";
import { methodNow } from "./fill.js";
import { goTo, isAt, remembered } from "./memory.js";
import { announce, attempt, fault, note } from "./messages.js";
import { outputNow } from "./output.js";
import { marksOn } from "./photo.js";
import { showResult } from "./result.js";
import { rough } from "./rough.js";
import { maskNow } from "./stage.js";
import { codesOf } from "./strokes.js";

/** The stages in their order, in words; the server may tell of others, which are shown by their own name. */
const STAGES = {
  find: "Finding people",
  plan: "Planning the layers",
  load: "Loading the model",
  fill: "Filling from the photo",
  denoise: "Making what was hidden",
  paint: "Painting in full size",
  compose: "Putting the layers together",
  save: "Saving",
};
const STOPPING = "Stopping after the present step…";
const stages = document.getElementById("stages");
const now = document.getElementById("stage-now");
const bar = document.getElementById("progress");
const cancelButton = document.getElementById("cancel");
const elapsed = document.getElementById("elapsed");
let watching = null;
let reached = 0;
/** When the job will be done by the server's word, in milliseconds since 1970; null while it has not said. */
let ends = null;

/** How layers are made, and what the file says of it. */
const howNow = () => ({ ...methodNow(), ...outputNow() });

/** The request for the API: the same that the library and the command line build. */
export function requestNow() {
  const { photo, edits } = app;
  const { added, taken } = codesOf(edits.now.strokes, photo.width, photo.height);
  const selection = selectionOf(marksOn(), edits.now.chosen, edits.now.things, edits.now.left);
  if (added) selection.mask_rle = added;
  if (taken) selection.spare_rle = taken;
  return { selection, ...howNow(), ...app.wishes };
}

/** The same choice once more, with another seed: other details. */
export function again() {
  app.wishes = { ...app.wishes, seed: (app.wishes.seed ?? 0) + 1 };
  app.set({ mode: "choose" });
  return start("erase");
}

/** Start a job of a kind: "erase" or "layers". */
export async function start(kind) {
  if (app.busy || (kind === "erase" && app.edits.empty)) return;
  app.set({ busy: "Sending…" });
  const { photo } = app;
  const job = await attempt(() => api.startJob(kind, photo.id, kind === "erase" ? requestNow() : howNow()));
  if (photo !== app.photo) return;
  app.busy = "";
  if (!job) return app.tell();
  await follow(job);
}

/** Watch a job until it is over, and show what became of it. */
export async function follow(job) {
  watching?.abort();
  watching = new AbortController();
  const { signal } = watching;
  const { photo } = app;
  const place = { photo: photo.id, job: job.id };
  // A job takes the place of its choice in the browser's history until it is done: one that is cancelled was nowhere.
  const fresh = [null, job.id].includes(remembered().job);
  if (fresh) isAt(place);
  else goTo(place);
  reached = 0;
  elapsed.textContent = "";
  cancelButton.disabled = false;
  app.set({ mode: "work", job, hover: 0, rough: null });
  progress(job);
  if (job.kind === "erase") void sketch();
  try {
    for await (const status of api.watch(job.id, signal)) {
      if (signal.aborted) return;
      progress(status);
      if (status.state !== "away") app.job = status;
    }
    if (!signal.aborted) await finish(photo, fresh);
  } catch (error) {
    if (signal.aborted) return;
    fault(error);
    leave();
  }
}

/** Widening of the mask unless the user wishes otherwise, as a part of a person's height. */
const MARGIN = 0.015;

/** What it will roughly look like, at once. */
async function sketch() {
  const { photo, job, wishes } = app;
  // The page shows first that it works.
  await new Promise((resolve) => setTimeout(resolve, 0));
  const mask = maskNow();
  if (!mask || app.job?.id !== job.id || app.mode !== "work") return;
  const heights = app.everybody.filter((entry) => entry.going).map(({ person }) => person.box[3] - person.box[1]);
  const grow = (wishes.region?.dilate ?? MARGIN) * Math.max(photo.height / 10, ...heights);
  app.set({ rough: rough(photo.picture.small, mask, photo, grow) });
}

/** The job goes on, but nobody here waits for it: another photo is opened, or the user went back. */
export function unfollow() {
  watching?.abort();
  watching = null;
}

async function finish(photo, fresh) {
  const { job } = app;
  if (job.state === "done") {
    const shown = await attempt(() => showResult(job, photo));
    if (shown) {
      announce("Done. The result is shown.");
      if (fresh) {
        isAt({ photo: photo.id });
        goTo({ photo: photo.id, job: job.id });
      }
    } else if (photo === app.photo) leave();
    return;
  }
  if (job.state === "cancelled") note("Cancelled. Your choice is as it was.");
  else fault(job.error ?? "The job was not done.");
  leave();
}

function leave() {
  isAt({ photo: app.photo?.id, job: app.result?.id, at: app.result ? "choose" : null });
  app.set({ mode: "choose", job: null, rough: null });
}

export async function cancel() {
  if (app.mode !== "work") return;
  cancelButton.disabled = true;
  now.textContent = STOPPING;
  // A running step is finished first; what becomes of the job comes with its events.
  await attempt(() => api.cancelJob(app.job.id));
}

cancelButton.addEventListener("click", cancel);

/** Some stages take long without a word; a clock that runs says that the page has not died. */
setInterval(() => {
  if (app.mode !== "work" || !app.job?.started) return;
  const seconds = Math.max(0, Math.round(Date.now() / 1000 - app.job.started));
  const rest = String(seconds % 60).padStart(2, "0");
  const left = ends === null ? 0 : Math.round((ends - Date.now()) / 1000);
  elapsed.textContent = `${Math.floor(seconds / 60)}:${rest} so far${left > 0 ? `, about ${left} s left` : ""}`;
}, 1000);

function progress({ state, stage, progress: share = 0, remaining = null }) {
  ends = remaining === null ? null : Date.now() + 1000 * remaining;
  const names = Object.keys(STAGES);
  const index = names.indexOf(stage);
  reached = Math.max(reached, index);
  let words = STAGES[stage] ?? "Starting";
  if (state === "queued") words = "Waiting for another job";
  if (state === "away") words = "The server does not answer; trying again";
  // "layers" frames the making of them, "start" is none: the stage before goes on.
  else if (index < 0 && reached && state === "running") words = STAGES[names[reached]];
  const sentence = cancelButton.disabled && state === "running" ? STOPPING : `${words}…`;
  if (now.textContent !== sentence) {
    now.textContent = sentence;
    announce(sentence);
  }
  if (state === "running" && index >= 0) bar.value = (index + share) / names.length;
  else if (state === "queued") bar.value = 0;
  stages.replaceChildren(
    ...names.map((name, place) => {
      const item = document.createElement("li");
      item.textContent = STAGES[name];
      if (state === "running") item.className = place < reached ? "done" : place === reached && index >= 0 ? "now" : "";
      return item;
    }),
  );
}
