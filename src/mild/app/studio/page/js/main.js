// Wires the page together: buttons, ways in for a photo, and what a reload finds again.

import * as api from "./api.js";
import { app } from "./app.js";
import { onMended } from "./connection.js";
import "./crowd-list.js";
import { actions } from "./gestures.js";
import { onFetched } from "./finder.js";
import { again, cancel, follow, start, unfollow } from "./job.js";
import { installKeys } from "./keys.js";
import "./layer-list.js";
import { recallEdits, remembered, rememberPlace } from "./memory.js";
import { attempt, note } from "./messages.js";
import { addMark, openFile, openKnown, refineMark, searchAgain } from "./photo.js";
import { offerRecent } from "./recent.js";
import { download, pullApart, resultFile, showResult } from "./result.js";
import { element } from "./rows.js";
import { actualSize, canvas, redraw, sharpness, view } from "./stage.js";

const by = (id) => document.getElementById(id);
const on = (id, act) => by(id).addEventListener("click", act);

// ---- the photo's ways in

function take(file) {
  if (!file) return;
  unfollow();
  void openFile(file);
}

const open = () => by("file").click();
on("open", open);
on("open-first", open);
by("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  // The same file may be chosen again.
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])][0];
  if (file) take(file);
  else if (app.mode === "start") note("There is no picture in the clipboard.");
});

let entered = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
document.addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  entered++;
  by("drop-hint").hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (hasFiles(event) && --entered <= 0) by("drop-hint").hidden = true;
});
document.addEventListener("dragover", (event) => {
  if (hasFiles(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  entered = 0;
  by("drop-hint").hidden = true;
  if (!hasFiles(event)) return;
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

/** The examples of a checkout; an installed program has none, and the page then says nothing of them. */
async function offerExamples() {
  const names = await (await fetch("examples")).json();
  const buttons = names.map((name) => {
    const address = `examples/${encodeURIComponent(name)}.jpg`;
    const words = name.replaceAll("_", " ");
    const button = element("button", { type: "button", "data-example": name }, element("img", { src: address, alt: `Example: ${words}` }));
    button.addEventListener("click", () =>
      attempt(async () => take(new File([await (await fetch(address)).blob()], `${name}.jpg`))),
    );
    return element("li", {}, button);
  });
  by("examples").querySelector("ul").replaceChildren(...buttons);
  by("examples").hidden = !names.length;
}

/** Thousandths of a person's height by which the mask is widened unless asked otherwise. */
const STANDARD_MARGIN = 15;

// ---- tools, zoom, compare

function chooseTool(tool) {
  if (app.mode === "choose") app.set({ tool, hover: 0 });
}
for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => chooseTool(button.dataset.tool));
}

/** The slider's 0..100 as a radius: equal steps feel equal when they are factors. */
const SMALLEST = 0.002;
const LARGEST = 0.12;
const longSide = () => Math.max(app.photo.width, app.photo.height);
const radiusAt = (step) => Math.max(1, longSide() * SMALLEST * (LARGEST / SMALLEST) ** (step / 100));
const stepAt = (radius) => (100 * Math.log(radius / longSide() / SMALLEST)) / Math.log(LARGEST / SMALLEST);
function setBrush(step) {
  if (app.photo) app.set({ radius: radiusAt(Math.max(0, Math.min(100, step))) });
}
by("size").addEventListener("input", (event) => setBrush(Number(event.target.value)));

function zoomBy(factor) {
  if (app.photo) view.zoom(view.scale * factor);
  zoomed();
}
const fit = () => {
  view.fit();
  zoomed();
};
const full = () => {
  actualSize();
  zoomed();
};
function zoomed() {
  by("zoom-now").textContent = `${Math.round(100 * sharpness())} %`;
  redraw();
}
on("zoom-in", () => zoomBy(1.25));
on("zoom-out", () => zoomBy(0.8));
on("zoom-fit", fit);
on("zoom-full", full);
new ResizeObserver(zoomed).observe(canvas);

function setDivider(share) {
  if (!app.result) return;
  app.result.divider = share;
  app.result.alone = app.result.apart = null;
  app.tell();
}
by("divider").addEventListener("input", (event) => setDivider(event.target.value / 100));

// Held down, the photo shows as it was.
const hold = by("hold");
const lookBack = (share) => () => app.result && setDivider(share);
for (const kind of ["pointerdown", "keydown"]) {
  hold.addEventListener(kind, (event) => (kind === "pointerdown" || event.key === " " || event.key === "Enter") && lookBack(1)());
}
for (const kind of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"]) hold.addEventListener(kind, lookBack(0));

Object.assign(actions, {
  markPoint: (x, y, how) => (how ? refineMark(how, [x, y]) : addMark("point", [x, y])),
  markBox: (...corners) => addMark("box", corners),
  setDivider,
  zoomed,
});

// ---- deeds

const erase = () => app.mode === "choose" && start("erase");
on("erase", erase);
on("apart", () => start("layers"));
on("again", again);
on("pull", pullApart);
on("continue", () => attempt(async () => take(await resultFile())));
on("bystanders", () => app.edits.change({ chosen: app.bystanders }));
by("margin").addEventListener("input", (event) => {
  const wider = Number(event.target.value);
  const { region, ...rest } = app.wishes;
  app.wishes = wider === STANDARD_MARGIN ? rest : { ...rest, region: { dilate: wider / 1000 } };
});
onFetched(() => app.photo && openKnown(app.photo.id, null));
on("undo", () => app.edits.undo());
on("redo", () => app.edits.redo());
on("step-choose", () => app.mode === "result" && app.set({ mode: "choose" }));
on("step-result", () => app.mode === "choose" && app.result && app.set({ mode: "result", hover: 0 }));
const help = () => by("help").showModal();
on("help-open", help);

const choosing = (act) => () => app.mode === "choose" && !app.busy && act();
installKeys({
  open,
  erase,
  help,
  fit,
  full,
  larger: () => zoomBy(1.25),
  smaller: () => zoomBy(0.8),
  tool: chooseTool,
  brush: (direction) => app.photo && setBrush(stepAt(app.radius) + 6 * direction),
  compare: () => app.result && setDivider(app.result.divider > 0 ? 0 : 1),
  undo: choosing(() => app.edits.undo()),
  redo: choosing(() => app.edits.redo()),
  save: () => app.mode === "result" && attempt(() => download("png")),
  escape: () => (app.mode === "work" ? cancel() : app.mode === "choose" && chooseTool("choose")),
});

api.onKeyWanted(
  () =>
    new Promise((resolve) => {
      const dialog = by("key-dialog");
      by("key").value = "";
      dialog.showModal();
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? by("key").value : null), { once: true });
    }),
);

// ---- what is shown

function show() {
  document.body.dataset.mode = app.mode;
  by("busy").hidden = !app.busy;
  by("busy-text").textContent = app.busy;
  by("welcome").inert = !!app.busy;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === app.tool);
  by("size-label").hidden = app.tool !== "add" && app.tool !== "take";
  if (app.photo) by("size").value = stepAt(app.radius);
  by("step-result").disabled = !app.result || app.mode === "work";
  by("step-choose").disabled = app.mode === "work";
  by("step-choose").setAttribute("aria-pressed", app.mode !== "result");
  by("step-result").setAttribute("aria-pressed", app.mode === "result");
  by("again").hidden = app.job?.kind !== "erase";
  by("bystanders").hidden = !app.bystanders.length;
  by("margin").value = Math.round(1000 * (app.wishes.region?.dilate ?? STANDARD_MARGIN / 1000));
  by("compare").hidden = !!app.result?.alone || !!app.result?.apart;
  by("pull").hidden = !app.result?.order.length;
  by("pull").setAttribute("aria-pressed", !!app.result?.apart);
  if (app.result) by("divider").value = 100 * app.result.divider;
  canvas.setAttribute("aria-label", app.photo ? `Photo ${app.photo.name}, ${app.photo.width} by ${app.photo.height} pixels` : "Photo");
  showUndo();
  zoomed();
}
function showUndo() {
  by("undo").disabled = app.mode !== "choose" || !!app.busy || !app.edits.canUndo;
  by("redo").disabled = app.mode !== "choose" || !!app.busy || !app.edits.canRedo;
}
app.addEventListener("change", show);
app.edits.addEventListener("change", showUndo);

// ---- the beginning, and a reload in the middle of a job

async function resume({ photo, job }) {
  await openKnown(photo, job);
  if (!app.photo) return rememberPlace(null, null);
  if (!job) return;
  const status = await attempt(() => api.jobStatus(job));
  if (!status) return rememberPlace(photo, null);
  if (!recallEdits(photo).edits) app.edits.begin({ chosen: [...status.request.selection.people] });
  if (status.state === "done") await attempt(() => showResult(status, app.photo));
  else await follow(status);
}

show();
const before = remembered();
if (before.photo) void attempt(() => resume(before));
function offer() {
  void attempt(offerExamples);
  void attempt(() => offerRecent((id) => attempt(() => resume({ photo: id, job: null }))));
}
offer();
onMended(() => (app.mode === "start" ? offer() : searchAgain()));
