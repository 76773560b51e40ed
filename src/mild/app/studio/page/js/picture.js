// A picture in two sizes: one for looking at the whole, the whole itself once somebody looks closely.

const SMALL = 2048;

export class Picture {
  static async load(blob, width, height) {
    const picture = new Picture();
    Object.assign(picture, { blob, width, height, sharp: null, waiting: null });
    const shrink = SMALL / Math.max(width, height);
    picture.small =
      shrink < 1
        ? await createImageBitmap(blob, {
            resizeWidth: Math.max(1, Math.round(width * shrink)),
            resizeHeight: Math.max(1, Math.round(height * shrink)),
            resizeQuality: "high",
          })
        : await createImageBitmap(blob);
    return picture;
  }

  /** What to draw at `scale` screen pixels per pixel of the photo; `again` is called when something better came. */
  at(scale, again) {
    if (this.sharp || this.small.width >= this.width || scale * this.width <= this.small.width * 1.05) {
      return this.sharp ?? this.small;
    }
    this.waiting ??= createImageBitmap(this.blob).then((bitmap) => {
      this.sharp = bitmap;
      if (this.closed) bitmap.close();
      else again();
    }, () => {});
    return this.small;
  }

  /** Bitmaps of big photos are not left to the collector's mood. */
  close() {
    this.closed = true;
    this.small.close();
    this.sharp?.close();
  }
}
