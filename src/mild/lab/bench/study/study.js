"use strict";
const { study, pairs } = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const store = `mild-study-${study}`;
let state = { study, rater: "", answers: {}, seconds: {} };
let stored = null;
try { stored = JSON.parse(localStorage.getItem(store)); } catch { /* a page opened from a file may have no store */ }
// A browser that has just started may lose what a page stored; the tab's own history does not: the longer one counts.
for (const kept of [stored, history.state])
  if (kept?.study === study && Object.keys(kept.answers).length >= Object.keys(state.answers).length) state = kept;
let at = 0;
let since = performance.now();

function keep() {
  history.replaceState(state, "");
  try { localStorage.setItem(store, JSON.stringify(state)); } catch { /* as above */ }
}
function show(part) {
  for (const id of ["start", "work", "done"]) by(id).hidden = id !== part;
}
function next() {
  while (at < pairs.length && state.answers[at] !== undefined) at++;
  if (at >= pairs.length) {
    show("done");
    by("place").textContent = `${pairs.length} of ${pairs.length}`;
    return;
  }
  look();
}
function look() {
  show("work");
  for (const id of ["photo", "left", "right"]) by(id).src = pairs[at][id];
  by("place").textContent = `${at + 1} of ${pairs.length}`;
  by("back").disabled = at === 0;
  since = performance.now();
}
function choose(choice) {
  if (by("work").hidden) return;
  state.answers[at] = choice;
  state.seconds[at] = Math.round((performance.now() - since) / 100) / 10;
  keep();
  next();
}
function back() {
  if (by("start").hidden === false || at === 0) return;
  at--;
  delete state.answers[at];
  keep();
  look();
}
by("begin").addEventListener("click", () => {
  state.rater = by("rater").value.trim();
  if (!state.rater) { by("rater").focus(); return; }
  keep();
  next();
});
for (const button of document.querySelectorAll("[data-choice]"))
  button.addEventListener("click", () => choose(button.dataset.choice));
by("back").addEventListener("click", back);
by("again").addEventListener("click", back);
by("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(state, null, 1)], { type: "application/json" }));
  link.download = `answers-${state.rater.replace(/[^\w-]+/g, "_")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
document.addEventListener("keydown", (event) => {
  if (by("work").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const choice = { 1: "left", 2: "right", "=": "same" }[event.key];
  if (choice) { event.preventDefault(); choose(choice); }
  if (event.key === "Backspace") { event.preventDefault(); back(); }
});
by("rater").value = state.rater;
by("rater").addEventListener("keydown", (event) => { if (event.key === "Enter") by("begin").click(); });
