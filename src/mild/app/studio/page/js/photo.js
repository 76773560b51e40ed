// A photo comes in, by whatever way, and the people in it are found.

import * as api from "./api.js";
import { app } from "./app.js";
import { inServerOrder, selectionOf } from "./edits.js";
import { offered } from "./fill.js";
import { searchable } from "./finder.js";
import { goTo, recallEdits, remembered, rememberEdits, rememberRecent } from "./memory.js";
import { announce, attempt, note } from "./messages.js";
import { Crowd } from "./people.js";
import { Picture } from "./picture.js";

/** Above this a PNG takes longer than it is worth for looking; downloads are not concerned. */
export const LARGE = 12_000_000;

let limits = null;
/** Counts the photos opened: an answer about an earlier one is dropped. */
let turn = 0;
/** The photo is here, but the search for people failed. */
let failed = false;
const regions = new Map();

/** Open a file, a Blob with a name; `before`: the place of the result that it is. */
export async function openFile(file, before = null) {
  const mine = ++turn;
  await working("Reading the photo…", mine, async () => {
    limits ??= await api.limits();
    // The server would say so as well, but only by hanging up in the middle of the upload.
    if (file.size > limits.max_bytes) {
      const most = Math.floor(limits.max_bytes / 2 ** 20);
      throw new api.Refusal(`This file is larger than the ${most} MB taken here.`);
    }
    const shown = await preview(file, mine);
    try {
      const info = await api.upload(file, (share) => mine === turn && share < 1 && app.set({ busy: `Reading the photo… ${Math.floor(100 * share)} %` }));
      await show({ ...info, before }, file.name, mine);
    } catch (error) {
      // What was open before is open again, if the new photo did not come; where only the search failed it stays.
      if (shown && mine === turn && !app.photo?.id) app.set(shown);
      throw error;
    }
  });
}

/** The photo from the browser's own memory, while it is on its way; returns what was shown before, null if it cannot. */
async function preview(file, mine) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return null; // a kind that this browser does not read; the server may
  }
  const { width, height } = bitmap;
  const picture = await Picture.load(file, width, height);
  bitmap.close();
  if (mine !== turn) return null;
  const before = { photo: app.photo, found: app.found, searched: app.searched, crowd: app.crowd, job: app.job, result: app.result, mode: app.mode };
  app.set({ photo: { id: "", width, height, name: file.name, picture }, found: [], searched: false, crowd: null, job: null, result: null, mode: "choose" });
  return before;
}

/** Open a photo that the server has already, after a reload; its job stays in the address meanwhile. */
export async function openKnown(id, job) {
  const mine = ++turn;
  await working("Reading the photo…", mine, async () => {
    const info = await api.photoInfo(id);
    const { file, before, edits } = recallEdits(id);
    await show({ ...info, before }, file ?? "photo", mine, edits, job);
  });
}

async function show(info, name, mine, edits = undefined, job = null) {
  const { width, height } = info;
  const picture = await Picture.load(await api.photoPicture(info.id, width * height > LARGE), width, height);
  if (mine !== turn) return picture.close();
  app.photo?.picture.close();
  app.result?.after.close();
  regions.clear();
  Object.assign(app, { photo: { ...info, name: name || "photo", picture }, found: [], beside: [], searched: false, crowd: null, job: null, rough: null, result: null });
  Object.assign(app, { mode: "choose", tool: "choose", hover: 0, touchUp: false, wishes: {}, radius: Math.max(2, Math.round(Math.max(width, height) * 0.022)) });
  app.busy = "Looking for people…";
  app.edits.begin();
  if (remembered().photo !== info.id) goTo({ photo: info.id, job });
  app.tell();
  void offered();
  rememberRecent(app.photo);
  failed = true;
  const { ready } = await searchable();
  const { people } = await api.people(info.id, ready ? "auto" : "none");
  if (mine !== turn) return;
  failed = false;
  app.found = people;
  app.searched = ready;
  app.crowd = new Crowd(people, app.photo);
  if (people.length) void lookBeside(info.id, mine);
  app.busy = "";
  app.edits.begin(edits);
  app.tell();
  const sure = people.filter((person) => person.sure).length;
  announce(`${sure} ${sure === 1 ? "person" : "people"} found${people.length > sure ? `, and ${people.length - sure} uncertain` : ""}.`);
  if (!ready) note("Nobody was searched for: the finder's nets are not on this machine. Paint with the brush what should go.");
  else if (!people.length) note("Nobody was found; mark somebody with a click or a box, or paint with the brush.");
}

/** What may go with them; it comes a little later, and nothing waits for it. */
async function lookBeside(id, mine) {
  const { things } = await api.things(id).catch(() => ({ things: [] }));
  if (mine !== turn || !things.length) return;
  app.set({ beside: things });
  void syncRegions();
}

/** Look for people where a lost connection prevented it. */
export async function searchAgain() {
  if (failed && app.mode === "choose" && app.photo?.id && !app.busy) await openKnown(app.photo.id, null);
}

async function working(what, mine, action) {
  app.set({ busy: what });
  await attempt(action);
  if (mine !== turn) return;
  if (app.photo?.id && !app.crowd) app.crowd = new Crowd([], app.photo);
  app.set({ busy: "" });
}

app.edits.addEventListener("change", () => {
  if (!app.photo || app.busy) return;
  rememberEdits(app.photo, app.edits.now);
  void syncRegions();
});

/** The regions that the marks add, as the server sees them; asked once for each set of marks, so that undo is instant. */
async function syncRegions() {
  const { photo } = app;
  const { now } = app.edits;
  const { marks } = now;
  // Who goes matters for the regions where something goes with them: what was clicked, or what they hold.
  const holding = now.chosen.some((id) => app.beside.some((thing) => thing.held && thing.person === id));
  const [chosen, things, left] = now.things.length || holding ? [now.chosen, now.things, now.left] : [[], [], []];
  const key = keyOf(marks, chosen, things, left);
  const shown = app.crowd.key ?? "[]";
  if (key === shown) return;
  let people = app.found;
  const asked = selectionOf(marks, chosen, things, left);
  if (marks.length || asked.also.length || holding) people = regions.get(key) ?? (await attempt(async () => (await api.select(photo.id, asked)).people));
  // Meanwhile the user may have gone on.
  if (!people || photo !== app.photo || now !== app.edits.now) return;
  regions.set(key, people);
  setCrowd(people, key);
}

function setCrowd(people, key) {
  app.crowd = Object.assign(new Crowd(people, app.photo), { key });
  app.tell();
}

const keyOf = (marks, chosen = [], things = [], left = []) =>
  JSON.stringify([...marks.map(({ kind, at, also = [], not = [] }) => [kind, at, also, not]), ...(chosen.length ? [chosen, things, left] : things.length ? [things] : [])]);

/** The thing or the shadow at a pixel goes with the nearest who goes. */
export function addThing(at) {
  const { chosen, things } = app.edits.now;
  if (!chosen.length && !marksOn().length) return note("Choose first who goes; then click on what goes with them.");
  app.edits.change({ things: [...things, at] });
}

/** A suggested thing goes along, or stays after all; what somebody holds (`held`) goes unless it is left. */
export function toggleThing({ at, held }) {
  const { things, left } = app.edits.now;
  const there = (list) => list.some((one) => same(one, at));
  const without = (list) => list.filter((one) => !same(one, at));
  if (held) app.edits.change({ left: there(left) ? without(left) : [...left, at] });
  else if (there(things)) app.edits.change({ things: without(things) });
  else addThing(at);
}

/** Does a thing go along with whoever it is of? */
export const goesAlong = ({ at, held }) => {
  const { things, left } = app.edits.now;
  return held ? !left.some((one) => same(one, at)) : things.some((one) => same(one, at));
};

const same = (one, other) => one[0] === other[0] && one[1] === other[1];

/** One more point for the last click: of the same thing (`also`), or not of it (`not`). */
export async function refineMark(how, at) {
  const { photo } = app;
  const { marks } = app.edits.now;
  const index = marks.findLastIndex((mark) => mark.kind === "point");
  if (index < 0) return note("Click on the thing first; then Shift adds to it, Alt takes away from it.");
  const more = marks.map((mark, k) => (k === index ? { ...mark, [how]: [...(mark[how] ?? []), at] } : mark));
  app.set({ busy: "Looking…" });
  const answer = await attempt(() => api.select(photo.id, selectionOf(more)));
  if (photo !== app.photo) return;
  app.busy = "";
  if (!answer) return app.tell();
  if (answer.people.length !== app.found.length + more.length) {
    app.tell();
    return note("That would be somebody who is in the list; choose them there.");
  }
  regions.set(keyOf(more), answer.people);
  setCrowd(answer.people, keyOf(more));
  app.edits.change({ marks: more });
}

/** Resolves once what was clicked is known. */
export let marked = Promise.resolve();

/** A click or a box on what was missed: a new region, or somebody who was found after all. */
export function addMark(kind, at) {
  marked = mark(kind, at);
  return marked;
}

async function mark(kind, at) {
  const { photo, crowd } = app;
  const { marks } = app.edits.now;
  if (kind === "point") {
    const there = crowd.at(...at);
    if (there) {
      if (!app.going.includes(there)) app.toggle(there);
      return;
    }
  }
  const more = [...marks, { kind, at, on: true }];
  app.set({ busy: "Looking…" });
  const answer = await attempt(() => api.select(photo.id, selectionOf(more)));
  if (photo !== app.photo) return;
  app.busy = "";
  if (!answer) return app.tell();
  if (answer.people.length === app.found.length + more.length) {
    const key = keyOf(more);
    regions.set(key, answer.people);
    setCrowd(answer.people, key);
    app.edits.change({ marks: more });
    announce("Marked by hand, and to be erased.");
    return;
  }
  // Nothing new came: the box or the click meant people who are in the list.
  const meant = new Set(answer.selected);
  app.edits.change({ chosen: app.found.map((person) => person.id).filter((id) => meant.has(id) || app.edits.now.chosen.includes(id)) });
  app.tell();
}

/** The regions of the marks that are on, in the order in which a job numbers them. */
export const marksOn = () => inServerOrder(app.edits.now.marks).filter((mark) => mark.on);
