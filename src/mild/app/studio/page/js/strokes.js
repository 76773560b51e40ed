// Brush strokes: kept as lines, drawn at the screen's resolution while painting and at the photo's when they are sent.

import { Encoder } from "./rle.js";

const STRIP = 256;

function draw(context, stroke) {
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 2 * stroke.radius;
  context.beginPath();
  const [first, ...others] = stroke.points;
  context.moveTo(...first);
  // A line of no length would not be drawn: a single dab is a very short one.
  if (!others.length) context.lineTo(first[0] + 0.01, first[1]);
  for (const point of others) context.lineTo(...point);
  context.stroke();
}

/** Two drawings, what is added and what is taken away; the later stroke wins where they meet. */
export class Paint {
  constructor(width, height, scale) {
    this.added = new OffscreenCanvas(width, height);
    this.taken = new OffscreenCanvas(width, height);
    this.scale = scale;
    const options = { willReadFrequently: true };
    this.contexts = [this.added.getContext("2d", options), this.taken.getContext("2d", options)];
    this.left = this.top = 0;
  }

  /** Shows the window of the photo that begins at this pixel. */
  moveTo(left, top) {
    this.left = left;
    this.top = top;
    this.clear();
  }

  clear() {
    for (const context of this.contexts) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this.added.width, this.added.height);
    }
  }

  stroke(stroke) {
    const scale = this.scale;
    this.contexts.forEach((context, index) => {
      context.setTransform(scale, 0, 0, scale, -this.left * scale, -this.top * scale);
      context.globalCompositeOperation = (stroke.mode === "add") === (index === 0) ? "source-over" : "destination-out";
      draw(context, stroke);
    });
  }
}

function bounds(strokes, width, height) {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (const { points, radius } of strokes) {
    for (const [x, y] of points) {
      x0 = Math.min(x0, x - radius);
      y0 = Math.min(y0, y - radius);
      x1 = Math.max(x1, x + radius);
      y1 = Math.max(y1, y + radius);
    }
  }
  const inside = (value, limit) => Math.max(0, Math.min(limit, value));
  return [
    inside(Math.floor(x0 - 1), width),
    inside(Math.floor(y0 - 1), height),
    inside(Math.ceil(x1 + 1), width),
    inside(Math.ceil(y1 + 1), height),
  ];
}

/**
 * What the strokes add and take, at the photo's resolution, as run-length codes (null where there is nothing).
 * Strip by strip: a canvas as large as a big photo is more than many machines give.
 */
export function codesOf(strokes, width, height) {
  const codes = [new Encoder(width, height), new Encoder(width, height)];
  const [x0, y0, x1, y1] = bounds(strokes, width, height);
  if (strokes.length && x1 > x0 && y1 > y0) {
    const paint = new Paint(STRIP, y1 - y0, 1);
    for (const code of codes) code.add(false, x0 * height);
    for (let left = x0; left < x1; left += STRIP) {
      const wide = Math.min(STRIP, x1 - left);
      paint.moveTo(left, y0);
      for (const stroke of strokes) paint.stroke(stroke);
      paint.contexts.forEach((context, index) => {
        encode(context.getImageData(0, 0, wide, y1 - y0), codes[index], y0, height - y1);
      });
    }
    for (const code of codes) code.add(false, (width - x1) * height);
  }
  const [added, taken] = codes.map((code) => code.code());
  return { added, taken };
}

function encode({ data, width, height }, code, above, below) {
  for (let x = 0; x < width; x++) {
    code.add(false, above);
    let on = false;
    let length = 0;
    for (let y = 0; y < height; y++) {
      const here = data[4 * (y * width + x) + 3] > 127;
      if (here !== on) {
        code.add(on, length);
        on = here;
        length = 0;
      }
      length++;
    }
    code.add(on, length);
    code.add(false, below);
  }
}
