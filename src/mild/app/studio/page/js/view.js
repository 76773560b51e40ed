// Where the photo lies on the screen: zoom and pan, in CSS pixels.

const CLOSEST = 16;

export class View {
  scale = 1;
  x = 0;
  y = 0;
  #photo = { width: 1, height: 1 };
  #screen = { width: 1, height: 1 };
  #inset = [0, 0, 0, 0];
  #fitted = true;

  show(photo) {
    this.#photo = photo;
    this.fit();
  }

  /** The stage's size changed: a fitted photo stays fitted, another keeps its middle. */
  resize(width, height, inset) {
    const middle = this.toPhoto(this.#screen.width / 2, this.#screen.height / 2);
    this.#screen = { width, height };
    // Room that a fitted photo leaves to the tools: top, right, bottom, left.
    this.#inset = inset;
    if (this.#fitted) this.fit();
    else {
      this.x = width / 2 - middle.x * this.scale;
      this.y = height / 2 - middle.y * this.scale;
      this.#hold();
    }
  }

  /** What of the screen is free of tools. */
  get room() {
    const [top, right, bottom, left] = this.#inset;
    return { width: this.#screen.width - left - right, height: this.#screen.height - top - bottom };
  }

  get fitScale() {
    const { width, height } = this.#photo;
    return Math.min(this.room.width / width, this.room.height / height, 4);
  }

  get fitted() {
    return this.#fitted;
  }

  fit() {
    this.scale = Math.max(this.fitScale, 0.001);
    const [top, right, bottom, left] = this.#inset;
    this.x = (this.#screen.width + left - right - this.#photo.width * this.scale) / 2;
    this.y = (this.#screen.height + top - bottom - this.#photo.height * this.scale) / 2;
    this.#fitted = true;
  }

  /** Zoom to `scale`, with what is at the screen's point (default: the middle) staying there. */
  zoom(scale, x = this.#screen.width / 2, y = this.#screen.height / 2) {
    const held = this.toPhoto(x, y);
    this.scale = Math.min(CLOSEST, Math.max(Math.min(this.fitScale, 1) / 2, scale));
    this.x = x - held.x * this.scale;
    this.y = y - held.y * this.scale;
    this.#fitted = false;
    this.#hold();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#fitted = false;
    this.#hold();
  }

  toPhoto(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  toScreen(x, y) {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y };
  }

  /** The photo never leaves the screen altogether. */
  #hold() {
    const margin = 48;
    const { width, height } = this.#photo;
    this.x = Math.min(this.#screen.width - margin, Math.max(margin - width * this.scale, this.x));
    this.y = Math.min(this.#screen.height - margin, Math.max(margin - height * this.scale, this.y));
  }
}
