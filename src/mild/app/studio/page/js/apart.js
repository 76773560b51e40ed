// The layers pulled apart: sheets behind one another, seen from the side; the rearmost is the background, whole.

const ease = (t) => t * t * (3 - 2 * t);
const DURATION = 500;
/** Of a sheet's width what is seen from the side; how far its edge rises, per pixel of its width. */
const NARROW = 0.6;
const RISE = 0.2;
/** From one sheet to the next, in sheet widths: at most, and for all of them together. */
const STEP = 0.55;
const ALL = 2.2;

/** How far apart, 0 to 1, for those pulled since `begun` (of performance.now()); who wants no motion sees the end. */
export function share(begun) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return 1;
  return ease(Math.min(1, (performance.now() - begun) / DURATION));
}

/**
 * Canvas matrices for `count` sheets, rear to front, of photo pixels to a plane whose middle is (0, 0):
 * {matrices: [[a, b, c, d, e, f]], width, height} with the size of all of them together. At `t` 0 they lie on the photo.
 */
export function sheets(count, { width, height }, t) {
  const narrow = 1 - (1 - NARROW) * t;
  const rise = RISE * t;
  const step = count > 1 ? narrow * width * Math.min(STEP, ALL / (count - 1)) * t : 0;
  const all = { width: narrow * width + (count - 1) * step, height: height + rise * width };
  const matrices = Array.from({ length: count }, (_, k) => [narrow, -rise, 0, 1, k * step - all.width / 2, rise * width - all.height / 2]);
  return { matrices, ...all };
}
