// COCO's run-length code: column by column, runs of 0 and 1 in turn, beginning with 0.

/** The runs of the compressed text: five bits a letter, from the third run on as the difference to two runs before. */
export function runsOf(counts) {
  if (typeof counts !== "string") return counts;
  const runs = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0;
    let shift = 0;
    for (let more = true; more; shift += 5) {
      const letter = counts.charCodeAt(at++) - 48;
      value |= (letter & 31) << shift;
      more = (letter & 32) !== 0;
      if (!more && letter & 16) value |= -1 << (shift + 5);
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/**
 * Calls `column(x, y0, y1)` for every vertical run of the mask on a grid of `width` x `height` cells, which is the photo
 * or coarser: a cell is what the photo has at its middle.
 */
export function eachRun(code, width, height, column) {
  const [photoHeight, photoWidth] = code.size;
  const cellOf = new Int32Array(photoWidth).fill(-1);
  for (let x = 0; x < width; x++) cellOf[Math.min(photoWidth - 1, Math.floor(((x + 0.5) * photoWidth) / width))] = x;
  const row = (y) => Math.max(0, Math.min(height, Math.ceil((y * height) / photoHeight - 0.5)));
  let start = 0;
  let inside = false;
  for (const run of runsOf(code.counts)) {
    const end = start + run;
    if (inside && run) {
      for (let x = Math.floor(start / photoHeight); x * photoHeight < end; x++) {
        const cell = cellOf[x];
        if (cell < 0) continue;
        const y0 = row(Math.max(0, start - x * photoHeight));
        const y1 = row(Math.min(photoHeight, end - x * photoHeight));
        if (y1 > y0) column(cell, y0, y1);
      }
    }
    start = end;
    inside = !inside;
  }
}

/** Collects the columns of a mask from left to right and gives its code. */
export class Encoder {
  constructor(width, height) {
    this.size = [height, width];
    this.counts = [0];
    this.any = false;
  }

  /** `length` more pixels, all `on` or all off. */
  add(on, length) {
    if (!length) return;
    this.any ||= on;
    if ((this.counts.length % 2 === 0) === on) this.counts[this.counts.length - 1] += length;
    else this.counts.push(length);
  }

  /** The code; null for an empty mask. */
  code() {
    return this.any ? { size: this.size, counts: this.counts } : null;
  }
}
