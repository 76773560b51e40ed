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
import { goTo, isAt, recallEdits, remembered } from "./memory.js";
import { attempt, note } from "./messages.js";
import { addMark, addThing, marked, openFile, openKnown, refineMark, searchAgain } from "./photo.js";
import { offerRecent } from "./recent.js";
import { download, pullApart, resultFile, showResult } from "./result.js";
import { element } from "./rows.js";
import { actualSize, canvas, redraw, sharpness, view } from "./stage.js";
import * as steps from "./steps.js";

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

/** The examples that the server has. */
async function offerExamples() {
  const names = await (await fetch("examples")).json();
  const buttons = names.map((name) => {
    const address = `examples/${encodeURIComponent(name)}`;
    const words = name.replace(/\.[^.]*$/, "").replaceAll("_", " ");
    const button = element("button", { type: "button", "data-example": name }, element("img", { src: address, alt: `Example: ${words}` }));
    button.addEventListener("click", () =>
      attempt(async () => take(new File([await (await fetch(address)).blob()], name))),
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
  if (app.mode === "choose") app.set({ tool, refine: "", hover: 0 });
}
for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => chooseTool(button.dataset.tool));
}

for (const button of document.querySelectorAll("[data-refine]")) {
  button.addEventListener("click", () => app.set({ refine: button.dataset.refine }));
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
  markPoint: (x, y, how) => (how === "goes" ? addThing([x, y]) : how ? refineMark(how, [x, y]) : addMark("point", [x, y])),
  markBox: (...corners) => addMark("box", corners),
  setDivider,
  zoomed,
  eraseNow: () => marked.then(() => start("erase")),
});
on("touch-up", () => app.set({ touchUp: !app.touchUp }));

// ---- deeds

const erase = () => app.mode === "choose" && start("erase");
on("erase", erase);
on("apart", () => start("layers"));
on("again", again);
on("pull", pullApart);
on("continue", () => attempt(eraseMore));
on("bystanders", () => app.edits.change({ chosen: app.bystanders }));
by("margin").addEventListener("input", (event) => {
  const wider = Number(event.target.value);
  const { region, ...rest } = app.wishes;
  app.wishes = wider === STANDARD_MARGIN ? rest : { ...rest, region: { dilate: wider / 1000 } };
});
onFetched(() => app.photo && openKnown(app.photo.id, null));
const undo = () => steps.undo((place) => attempt(() => visit(place)));
on("undo", undo);
on("redo", steps.redo);
on("step-choose", () => app.mode === "result" && steps.lookAt("choose"));
on("step-result", () => app.mode === "choose" && steps.lookAt("result"));
const help = () => by("help").showModal();
on("help-open", help);

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
  undo,
  redo: steps.redo,
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
  // What was scrolled to is gone now.
  if (document.body.dataset.mode !== app.mode) {
    scrollTo(0, 0);
    document.querySelector(".panel").scrollTop = 0;
  }
  document.body.dataset.mode = app.mode;
  by("busy").hidden = !app.busy;
  by("busy-text").textContent = app.busy;
  by("welcome").inert = !!app.busy;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === app.tool);
  for (const button of document.querySelectorAll("[data-refine]")) button.setAttribute("aria-pressed", button.dataset.refine === app.refine);
  by("size-label").hidden = app.tool !== "add" && app.tool !== "take";
  if (app.photo) by("size").value = stepAt(app.radius);
  by("step-result").disabled = !app.result || app.mode === "work";
  by("step-choose").disabled = app.mode === "work";
  by("step-choose").setAttribute("aria-pressed", app.mode !== "result");
  by("step-result").setAttribute("aria-pressed", app.mode === "result");
  by("again").hidden = app.result?.kind !== "erase";
  by("rough").hidden = app.mode !== "work" || !app.rough;
  by("bystanders").hidden = !app.bystanders.length;
  by("margin").value = Math.round(1000 * (app.wishes.region?.dilate ?? STANDARD_MARGIN / 1000));
  by("compare").hidden = !!app.result?.alone || !!app.result?.apart;
  by("touch-up").hidden = app.result?.kind !== "erase";
  by("touch-up").setAttribute("aria-pressed", app.touchUp);
  by("pull").hidden = !app.result?.order.length;
  by("pull").setAttribute("aria-pressed", !!app.result?.apart);
  if (app.result) by("divider").value = 100 * app.result.divider;
  canvas.setAttribute("aria-label", app.photo ? `Photo ${app.photo.name}, ${app.photo.width} by ${app.photo.height} pixels` : "Photo");
  showSteps();
  zoomed();
}
function showSteps() {
  by("refine").hidden = app.tool !== "point" || app.edits.empty;
  by("undo").disabled = !steps.canUndo();
  by("redo").disabled = !steps.canRedo();
}
app.addEventListener("change", show);
app.edits.addEventListener("change", showSteps);

/** The result becomes the photo; undo, and the browser's Back, lead to the result again. */
async function eraseMore() {
  const before = { photo: app.photo.id, job: app.result.id };
  const file = await resultFile();
  unfollow();
  await openFile(file, before);
}

// ---- the beginning, a reload in the middle of a job, and the browser's Back

/** Go where the page was: its address says so already, or is made to. */
async function visit(place) {
  goTo(place);
  await arrive(place);
}

async function arrive({ photo, job, at }) {
  unfollow();
  if (!photo) {
    app.set({ mode: "start" });
    offer();
  } else if (photo !== app.photo?.id) await resume({ photo, job, at });
  else if (!job) app.set({ mode: "choose" });
  else if (job === app.result?.id) app.set({ mode: at === "choose" ? "choose" : "result", hover: 0 });
  else await takeUp({ photo, job, at });
}
window.addEventListener("popstate", () => attempt(() => arrive(remembered())));

async function resume({ photo, job, at }) {
  await openKnown(photo, job);
  if (!app.photo) return isAt({});
  if (job && photo === app.photo.id) await takeUp({ photo, job, at });
}

/** The job of the photo that is open. */
async function takeUp({ photo, job, at }) {
  const status = await attempt(() => api.jobStatus(job));
  if (photo !== app.photo?.id) return;
  if (!status) return isAt({ photo });
  if (!recallEdits(photo).edits) app.edits.begin({ chosen: [...status.request.selection.people] });
  if (status.state !== "done") await follow(status);
  else if ((await attempt(() => showResult(status, app.photo))) && at === "choose") app.set({ mode: "choose" });
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
