// Undo and redo are one way through all of it: the choice, the erasing, what was done with the layers, and the photo that
// a result became when more was erased from it.

import { app } from "./app.js";
import { goTo } from "./memory.js";
import { recompose } from "./result.js";

const choosing = () => app.mode === "choose" && !app.busy && !!app.photo?.id;
/** The result that is here is of the choice as it is now. */
const current = () => app.result && app.result.edits === app.edits.now;

export const canUndo = () => (choosing() ? app.edits.canUndo || !!app.photo.before : app.mode === "result");
export const canRedo = () => (choosing() ? app.edits.canRedo || !!current() : app.mode === "result" && app.result.future.length > 0);

/** `visit(place)` opens a photo and its job that were here before. */
export function undo(visit) {
  if (!canUndo()) return;
  const { past } = app.result ?? {};
  if (app.mode === "result" && past.length) step(past, app.result.future);
  else if (app.mode === "result") lookAt("choose");
  else if (app.edits.canUndo) app.edits.undo();
  else visit(app.photo.before);
}

export function redo() {
  if (!canRedo()) return;
  if (app.mode === "result") step(app.result.future, app.result.past);
  else if (app.edits.canRedo) app.edits.redo();
  else lookAt("result");
}

/** To the choice or to the result, both of which are here. */
export function lookAt(mode) {
  if (app.mode === mode || !app.result) return;
  goTo({ photo: app.photo.id, job: app.result.id, at: mode === "choose" ? "choose" : null });
  app.set({ mode, hover: 0 });
}

function step(from, to) {
  const { order, hidden } = app.result;
  to.push({ order, hidden });
  void recompose({ ...from.pop(), alone: null });
}
