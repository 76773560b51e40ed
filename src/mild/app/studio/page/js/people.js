// The people of a photo as the page needs them: whose pixel is it, where is their edge.

import { eachRun } from "./rle.js";

/** Long side of the grid on which people are looked up and outlined; hovering must cost nothing. */
const GRID = 1600;

export class Crowd {
  /** `people` as the API lists them, with masks; `photo` is {width, height}. */
  constructor(people, photo) {
    this.people = people;
    this.scale = Math.min(1, GRID / Math.max(photo.width, photo.height));
    this.width = Math.max(1, Math.round(photo.width * this.scale));
    this.height = Math.max(1, Math.round(photo.height * this.scale));
    this.labels = new Uint16Array(this.width * this.height);
    this.shapes = new Map();
    for (const person of people) {
      eachRun(person.mask, this.width, this.height, (x, y0, y1) => {
        for (let y = y0; y < y1; y++) this.labels[y * this.width + x] = person.id;
      });
    }
    for (const person of people) this.shapes.set(person.id, this.#shape(person));
  }

  /** The number of the person at a pixel of the photo; 0 where nobody is. */
  at(x, y) {
    const column = Math.floor(x * this.scale);
    const row = Math.floor(y * this.scale);
    if (column < 0 || row < 0 || column >= this.width || row >= this.height) return 0;
    return this.labels[row * this.width + column];
  }

  person(id) {
    return this.people.find((person) => person.id === id);
  }

  /** Mask and edge of a person in a window of the grid. */
  #shape(person) {
    const margin = 3;
    const x0 = Math.max(0, Math.floor(person.box[0] * this.scale) - margin);
    const y0 = Math.max(0, Math.floor(person.box[1] * this.scale) - margin);
    const width = Math.max(1, Math.min(this.width, Math.ceil(person.box[2] * this.scale) + margin) - x0);
    const height = Math.max(1, Math.min(this.height, Math.ceil(person.box[3] * this.scale) + margin) - y0);
    const fill = new ImageData(width, height);
    const edge = new ImageData(width, height);
    const reach = Math.max(1, Math.round(Math.max(this.width, this.height) / 500));
    const mine = (x, y) =>
      x >= 0 && y >= 0 && x < this.width && y < this.height && this.labels[y * this.width + x] === person.id;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [column, row] = [x + x0, y + y0];
        if (!mine(column, row)) continue;
        const at = 4 * (y * width + x) + 3;
        fill.data[at] = 255;
        const inner =
          mine(column - reach, row) && mine(column + reach, row) && mine(column, row - reach) && mine(column, row + reach);
        if (!inner) edge.data[at] = 255;
      }
    }
    return { x: x0, y: y0, width, height, fill: canvasOf(fill), edge: canvasOf(edge) };
  }
}

function canvasOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
