// What is drawn over the photo while people are chosen: who goes is hatched in red, everybody else outlined.

import { Paint } from "./strokes.js";

const RED = "#e5301c";

export class Overlay {
  constructor(crowd) {
    this.crowd = crowd;
    this.canvas = new OffscreenCanvas(crowd.width, crowd.height);
    this.context = this.canvas.getContext("2d");
    this.paint = new Paint(crowd.width, crowd.height, crowd.scale);
    this.shown = null;
    this.tints = new Map();
  }

  /** Another crowd on the same photo (regions came or went): the strokes stay. */
  setCrowd(crowd) {
    this.crowd = crowd;
    this.tints.clear();
  }

  setStrokes(strokes) {
    if (strokes === this.shown) return;
    const old = this.shown ?? [];
    // The usual case is one more stroke; only undo and redo need all of them again.
    const more = strokes.length >= old.length && old.every((stroke, index) => stroke === strokes[index]);
    if (!more) this.paint.clear();
    for (const stroke of more ? strokes.slice(old.length) : strokes) this.paint.stroke(stroke);
    this.shown = strokes;
  }

  /** Draw anew: `going` goes; `live` is the stroke under the pointer. */
  update(going, live) {
    if (live) this.paint.stroke(live);
    const { context, crowd } = this;
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, crowd.width, crowd.height);
    for (const id of going) this.#stamp(crowd.shapes.get(id), "fill");
    context.drawImage(this.paint.added, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = this.#hatch();
    context.fillRect(0, 0, crowd.width, crowd.height);
    context.globalCompositeOperation = "source-over";
    for (const id of going) this.#stamp(this.#tinted(id, RED), "edge");
    context.globalCompositeOperation = "destination-out";
    context.drawImage(this.paint.taken, 0, 0);
    context.globalCompositeOperation = "source-over";
    for (const { id } of crowd.people) if (!going.includes(id)) this.#stamp(this.#tinted(id, "#ffffff"), "edge");
  }

  /** What goes, as a canvas whose alpha says so, in the crowd's grid. */
  mask(going) {
    const mask = new OffscreenCanvas(this.crowd.width, this.crowd.height);
    const context = mask.getContext("2d");
    for (const { fill, x, y } of going.map((id) => this.crowd.shapes.get(id)).filter(Boolean)) context.drawImage(fill, x, y);
    context.drawImage(this.paint.added, 0, 0);
    context.globalCompositeOperation = "destination-out";
    context.drawImage(this.paint.taken, 0, 0);
    return mask;
  }

  /** The person's edge in a colour. */
  #tinted(id, colour) {
    const key = `${id} ${colour}`;
    if (!this.tints.has(key)) {
      const shape = this.crowd.shapes.get(id);
      if (!shape) return null;
      const edge = new OffscreenCanvas(shape.width, shape.height);
      const context = edge.getContext("2d");
      context.drawImage(shape.edge, 0, 0);
      context.globalCompositeOperation = "source-in";
      context.fillStyle = colour;
      context.fillRect(0, 0, shape.width, shape.height);
      // A shadow of the other brightness: an outline must show on snow and at night.
      const both = new OffscreenCanvas(shape.width, shape.height);
      const outer = both.getContext("2d");
      outer.shadowColor = "rgba(0 0 0 / 0.9)";
      outer.shadowBlur = 2;
      outer.drawImage(edge, 0, 0);
      this.tints.set(key, { ...shape, edge: both });
    }
    return this.tints.get(key);
  }

  #stamp(shape, part) {
    if (shape) this.context.drawImage(shape[part], shape.x, shape.y);
  }

  /** Stripes, so that red is not the only sign. */
  #hatch() {
    if (!this.pattern) {
      const tile = new OffscreenCanvas(10, 10);
      const context = tile.getContext("2d");
      context.fillStyle = "rgb(229 48 28 / 0.42)";
      context.fillRect(0, 0, 10, 10);
      context.strokeStyle = "rgb(255 255 255 / 0.38)";
      context.lineWidth = 2;
      context.beginPath();
      for (const shift of [-10, 0, 10]) {
        context.moveTo(shift - 2, 12);
        context.lineTo(shift + 12, -2);
      }
      context.stroke();
      this.pattern = this.context.createPattern(tile, "repeat");
    }
    return this.pattern;
  }
}
