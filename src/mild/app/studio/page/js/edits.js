// What the user decided, with undo: who goes, what was marked by hand, what goes with them, what of that stays, what was brushed. Values
// are never altered in place, so that a step back is the value from before.

const NOTHING = { chosen: [], marks: [], things: [], left: [], strokes: [] };
const DEPTH = 200;

export class Edits extends EventTarget {
  now = NOTHING;
  #past = [];
  #future = [];

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  get empty() {
    const { chosen, marks, strokes } = this.now;
    return !chosen.length && !marks.some((mark) => mark.on) && !strokes.some((stroke) => stroke.mode === "add");
  }

  change(fields) {
    this.#past = [...this.#past.slice(1 - DEPTH), this.now];
    this.#future = [];
    this.#become({ ...this.now, ...fields });
  }

  undo() {
    if (!this.canUndo) return;
    this.#future.push(this.now);
    this.#become(this.#past.pop());
  }

  redo() {
    if (!this.canRedo) return;
    this.#past.push(this.now);
    this.#become(this.#future.pop());
  }

  /** Another photo, or the same after a reload: there is no way back behind this. */
  begin(value = NOTHING) {
    this.#past = [];
    this.#future = [];
    this.#become({ ...NOTHING, ...value });
  }

  togglePerson(id) {
    const { chosen } = this.now;
    this.change({ chosen: chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id].sort((a, b) => a - b) });
  }

  toggleMark(index) {
    this.change({ marks: this.now.marks.map((mark, k) => (k === index ? { ...mark, on: !mark.on } : mark)) });
  }

  #become(value) {
    this.now = value;
    this.dispatchEvent(new Event("change"));
  }
}

/** The marks in the order in which the server numbers what they add: points, then boxes, then clicks of several points. */
export function inServerOrder(marks) {
  const numbered = marks.map((mark, index) => ({ ...mark, index }));
  const rank = (mark) => (refined(mark) ? 2 : mark.kind === "box" ? 1 : 0);
  return [0, 1, 2].flatMap((wanted) => numbered.filter((mark) => rank(mark) === wanted));
}

/** Has a click points besides its first: of the same thing, or not of it? */
const refined = (mark) => mark.kind === "point" && (mark.also?.length || mark.not?.length);

/** A Selection of the API that says what these marks say, and what things (pixels) go with them and with the `chosen`, or are left. */
export function selectionOf(marks, chosen = [], things = [], left = []) {
  return {
    people: chosen,
    also: chosen.length || marks.length ? things : [],
    leave: left,
    points: marks.filter((mark) => mark.kind === "point" && !refined(mark)).map((mark) => mark.at),
    boxes: marks.filter((mark) => mark.kind === "box").map((mark) => mark.at),
    clicks: marks.filter(refined).map((mark) => ({ on: [mark.at, ...(mark.also ?? [])], off: mark.not ?? [] })),
  };
}
