// A first answer within a blink: what goes is filled from its surroundings here in the browser, until the real one comes.

/** Long side of what is made, pixels; and the most pixels that are filled, so that it stays a blink. */
const SIDE = 512;
const MOST = 16_000;
/** Patches are compared over (2 R + 1)^2 pixels. */
const R = 3;
/** Rounds of looking for better patches, by level from the coarsest; each costs its pixels. */
const ROUNDS = [5, 3, 2];

/**
 * The fill of a hole as a canvas with alpha, to be drawn over the whole photo; null where nothing goes.
 *
 * `source` is drawable and shows the whole photo, `mask` a canvas of the photo's shape whose alpha says what goes;
 * `grow` is how many pixels of a photo of `width` x `height` the hole is widened by.
 */
export function rough(source, mask, { width, height }, grow) {
  let scale = Math.min(1, SIDE / Math.max(width, height));
  let [w, h, hole] = holeOf(mask, width, height, scale, grow);
  const pixels = hole.reduce((sum, value) => sum + value, 0);
  if (!pixels) return null;
  if (pixels > MOST) {
    scale *= Math.sqrt(MOST / pixels);
    [w, h, hole] = holeOf(mask, width, height, scale, grow);
  }
  const levels = [level(pixelsOf(source, w, h), hole, w, h)];
  while (levels.length < ROUNDS.length && Math.min(levels.at(-1).w, levels.at(-1).h) >= 64) levels.push(halved(levels.at(-1)));
  let field = null;
  let coarser = null;
  levels.reverse().forEach((one, index) => {
    if (coarser) begin(one, coarser);
    else spread(one);
    field = match(one, field && enlarged(field, coarser, one), ROUNDS[index]);
    paint(one, field);
    coarser = one;
  });
  return canvasOf(levels.at(-1));
}

function holeOf(mask, width, height, scale, grow) {
  const [w, h] = [width, height].map((side) => Math.max(8, Math.round(side * scale)));
  return [w, h, widened(alphaOf(mask, w, h), w, h, Math.max(1, Math.ceil(grow * scale)))];
}

const level = (rgb, hole, w, h) => ({ rgb, hole, w, h });

function contextOf(w, h) {
  return new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
}

function pixelsOf(source, w, h) {
  const context = contextOf(w, h);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, w, h);
  const { data } = context.getImageData(0, 0, w, h);
  const rgb = new Float32Array(3 * w * h);
  for (let k = 0; k < w * h; k++) for (let c = 0; c < 3; c++) rgb[3 * k + c] = data[4 * k + c];
  return rgb;
}

function alphaOf(mask, w, h) {
  const context = contextOf(w, h);
  context.drawImage(mask, 0, 0, w, h);
  const { data } = context.getImageData(0, 0, w, h);
  return Uint8Array.from({ length: w * h }, (_, k) => (data[4 * k + 3] > 20 ? 1 : 0));
}

/** The mask, `by` pixels wider: along the rows, then along the columns. */
function widened(mask, w, h, by) {
  const along = (from, count, length, step, next) => {
    const to = new Uint8Array(from.length);
    for (let line = 0; line < count; line++) {
      let last = -Infinity;
      for (let pass = 0; pass < 2; pass++) {
        for (let k = 0; k < length; k++) {
          const place = pass ? length - 1 - k : k;
          const at = line * next + place * step;
          if (from[at]) last = k;
          if (k - last <= by) to[at] = 1;
        }
        last = -Infinity;
      }
    }
    return to;
  };
  return along(along(mask, h, w, 1, w), w, h, w, 1);
}

function halved({ rgb, hole, w, h }) {
  const [w2, h2] = [Math.ceil(w / 2), Math.ceil(h / 2)];
  const small = level(new Float32Array(3 * w2 * h2), new Uint8Array(w2 * h2), w2, h2);
  for (let y = 0; y < h2; y++) {
    for (let x = 0; x < w2; x++) {
      const [sum, to] = [[0, 0, 0, 0], y * w2 + x];
      for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
        const at = Math.min(h - 1, 2 * y + dy) * w + Math.min(w - 1, 2 * x + dx);
        if (hole[at]) small.hole[to] = 1;
        for (let c = 0; c < 3; c++) sum[c] += rgb[3 * at + c];
      }
      for (let c = 0; c < 3; c++) small.rgb[3 * to + c] = sum[c] / 4;
    }
  }
  return small;
}

/** The coarsest hole begins with what lies around it, ring by ring from its rim. */
function spread({ rgb, hole, w, h }) {
  const open = Uint8Array.from(hole);
  let rim = [];
  for (let k = 0; k < w * h; k++) if (open[k]) rim.push(k);
  while (rim.length) {
    const done = [];
    for (const k of rim) {
      const [x, y, sum] = [k % w, Math.floor(k / w), [0, 0, 0, 0]];
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          if (x + dx < 0 || y + dy < 0 || x + dx >= w || y + dy >= h) continue;
          const at = k + dy * w + dx;
          if (open[at]) continue;
          for (let c = 0; c < 3; c++) sum[c] += rgb[3 * at + c];
          sum[3]++;
        }
      }
      if (sum[3]) done.push([k, sum]);
    }
    if (!done.length) return; // everything goes: there is nothing around
    for (const [k, sum] of done) {
      for (let c = 0; c < 3; c++) rgb[3 * k + c] = sum[c] / sum[3];
      open[k] = 0;
    }
    rim = rim.filter((k) => open[k]);
  }
}

/** A finer level's hole begins with the coarser one's answer. */
function begin(one, coarser) {
  for (let k = 0; k < one.w * one.h; k++) {
    if (!one.hole[k]) continue;
    const at = Math.min(coarser.h - 1, Math.floor(k / one.w / 2)) * coarser.w + Math.min(coarser.w - 1, Math.floor((k % one.w) / 2));
    for (let c = 0; c < 3; c++) one.rgb[3 * k + c] = coarser.rgb[3 * at + c];
  }
}

/** Where each pixel of the hole takes its patch from: {to: places of the hole, from: places of the photo's own pixels}. */
function match(one, given, rounds) {
  const { rgb, hole, w, h } = one;
  const to = [];
  const index = new Int32Array(w * h).fill(-1);
  for (let k = 0; k < w * h; k++) if (hole[k]) index[k] = to.push(k) - 1;
  const usable = sources(one);
  const random = seeded(7);
  const { list } = usable;
  if (!list.length) return { to, from: Int32Array.from(to), index };
  const from = Int32Array.from(to, (_, n) => (given && usable.is[given[n]] ? given[n] : list[Math.floor(random() * list.length)]));
  const cost = Float32Array.from(to, (k, n) => distance(rgb, w, h, k, from[n], Infinity));
  const attempt = (n, place) => {
    if (place < 0 || place >= w * h || !usable.is[place]) return;
    const d = distance(rgb, w, h, to[n], place, cost[n]);
    if (d < cost[n]) [cost[n], from[n]] = [d, place];
  };
  for (let round = 0; round < rounds; round++) {
    const way = round % 2 ? -1 : 1;
    for (let step = 0; step < to.length; step++) {
      const n = way > 0 ? step : to.length - 1 - step;
      for (const back of [way, way * w]) {
        const neighbour = index[to[n] - back] ?? -1;
        if (neighbour >= 0) attempt(n, from[neighbour] + back);
      }
      for (let reach = Math.max(w, h) / 2; reach >= 1; reach /= 3) {
        const x = Math.round((from[n] % w) + (2 * random() - 1) * reach);
        const y = Math.round(Math.floor(from[n] / w) + (2 * random() - 1) * reach);
        if (x >= 0 && y >= 0 && x < w && y < h) attempt(n, y * w + x);
      }
    }
  }
  return { to, from, index };
}

/** Places whose whole patch is the photo's own: {is: by place, list}. */
function sources({ hole, w, h }) {
  const near = widened(hole, w, h, R);
  const is = new Uint8Array(w * h);
  const list = [];
  for (let y = R; y < h - R; y++) for (let x = R; x < w - R; x++) if (!near[y * w + x]) list.push(y * w + x), (is[y * w + x] = 1);
  return { is, list };
}

/** How unlike two patches are, at most `most`; beyond the photo's edge there is nothing to compare. */
function distance(rgb, w, h, a, b, most) {
  const [x, y] = [a % w, Math.floor(a / w)];
  let sum = 0;
  let count = 0;
  for (let dy = -R; dy <= R; dy++) {
    if (y + dy < 0 || y + dy >= h) continue;
    for (let dx = -R; dx <= R; dx++) {
      if (x + dx < 0 || x + dx >= w) continue;
      const p = 3 * (a + dy * w + dx);
      const q = 3 * (b + dy * w + dx);
      const [r, g, l] = [rgb[p] - rgb[q], rgb[p + 1] - rgb[q + 1], rgb[p + 2] - rgb[q + 2]];
      sum += r * r + g * g + l * l;
      count++;
    }
    if (sum > most * (2 * R + 1) ** 2) return Infinity;
  }
  return sum / count;
}

/** A field of a coarser level, for a finer one's hole. */
function enlarged({ from, index }, coarser, { hole, w, h }) {
  const given = [];
  for (let k = 0; k < w * h; k++) {
    if (!hole[k]) continue;
    const [x, y] = [k % w, Math.floor(k / w)];
    const there = from[index[Math.min(coarser.h - 1, y >> 1) * coarser.w + Math.min(coarser.w - 1, x >> 1)]] ?? 0;
    given.push(Math.min(h - 1, 2 * Math.floor(there / coarser.w) + (y & 1)) * w + Math.min(w - 1, 2 * (there % coarser.w) + (x & 1)));
  }
  return given;
}

/** Every pixel of the hole becomes the mean of what the patches over it say. */
function paint({ rgb, w, h }, { to, from, index }) {
  const made = new Float32Array(3 * to.length);
  to.forEach((k, n) => {
    const [x, y] = [k % w, Math.floor(k / w)];
    let count = 0;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if (x + dx < 0 || y + dy < 0 || x + dx >= w || y + dy >= h) continue;
        const m = index[k + dy * w + dx];
        if (m < 0) continue;
        const source = from[m] - dy * w - dx;
        for (let c = 0; c < 3; c++) made[3 * n + c] += rgb[3 * source + c];
        count++;
      }
    }
    for (let c = 0; c < 3; c++) made[3 * n + c] /= count;
  });
  to.forEach((k, n) => rgb.set(made.subarray(3 * n, 3 * n + 3), 3 * k));
}

function canvasOf({ rgb, hole, w, h }) {
  const context = contextOf(w, h);
  const image = context.createImageData(w, h);
  for (let k = 0; k < w * h; k++) {
    if (!hole[k]) continue;
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = rgb[3 * k + c];
    image.data[4 * k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return context.canvas;
}

/** The same answer every time. */
function seeded(state) {
  return () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
