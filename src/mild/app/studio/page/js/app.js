// What the page knows, in one place. Whoever alters it calls `tell()`, and everything that is shown is drawn again.

import { Edits } from "./edits.js";

class App extends EventTarget {
  /** "start": no photo; "choose": who goes; "work": a job runs; "result": it is done. */
  mode = "start";
  /** {id, width, height, name, picture: Picture}. */
  photo = null;
  /** The people as found, without the regions marked by hand. */
  found = [];
  /** Were people looked for? Nobody is "not found" where nobody searched. */
  searched = false;
  /** Crowd: everybody, with the regions. */
  crowd = null;
  edits = new Edits();
  tool = "choose";
  /** What may go with people, as the API lists it; nothing of it goes by itself. */
  beside = [];
  /** What a click with the tool "point" means: "" a new thing; "also", "not": more or less of the last one. */
  refine = "";
  /** On the result: does a stroke erase what it covers? */
  touchUp = false;
  /** Radius of the brush in pixels of the photo. */
  radius = 20;
  /** Number of the person under the pointer or focused in the list; 0 for nobody. */
  hover = 0;
  /** What the photo cannot be touched for: "Looking for people…"; empty when it can. */
  busy = "";
  /** Fields of the request beside selection and method: a seed, a wider mask. */
  wishes = {};
  /** What erasing will roughly give, as a canvas to lie over the photo while the job runs; or null. */
  rough = null;
  /** The job's status as the server tells it. */
  job = null;
  /** Result: {id, after: Picture, layers, order, hidden, alone, divider, past, future, edits}. */
  result = null;

  tell() {
    this.dispatchEvent(new Event("change"));
  }

  set(fields) {
    Object.assign(this, fields);
    this.tell();
  }

  /** Number of the region that a mark made. */
  regionOf(markIndex) {
    const base = Math.max(0, ...this.found.map((person) => person.id));
    const { marks } = this.edits.now;
    const points = marks.filter((mark) => mark.kind === "point").length;
    const before = marks.slice(0, markIndex).filter((mark) => mark.kind === marks[markIndex].kind).length;
    return base + 1 + before + (marks[markIndex].kind === "box" ? points : 0);
  }

  /** Everybody in the list: found people, then regions, each with whether they go. */
  get everybody() {
    const { chosen, marks } = this.edits.now;
    const people = this.found.map((person) => ({ id: person.id, going: chosen.includes(person.id), person, mark: -1 }));
    const regions = marks.map((mark, index) => {
      const id = this.regionOf(index);
      return { id, going: mark.on, person: this.crowd?.person(id), mark: index };
    });
    return [...people, ...regions].filter((entry) => entry.person);
  }

  get going() {
    return this.everybody.filter((entry) => entry.going).map((entry) => entry.id);
  }

  /** Numbers of those who only happen to be in the photo. */
  get bystanders() {
    return this.found.filter((person) => person.role === "bystander" && person.sure).map((person) => person.id);
  }

  /** Keep or erase: what a click, the list and the number keys do. */
  toggle(id) {
    const entry = this.everybody.find((other) => other.id === id);
    if (!entry) return;
    if (entry.mark < 0) this.edits.togglePerson(id);
    else this.edits.toggleMark(entry.mark);
  }
}

export const app = new App();
