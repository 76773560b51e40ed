// Small helpers for lists.

/** An element with properties, attributes and children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** One of the page's line drawings. */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

const SIDE = 96;

/** A square picture of a window [x0, y0, x1, y1] of something drawable whose own corner is at (0, 0). */
export function thumbnail(source, [x0, y0, x1, y1], scale = 1) {
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d");
  const side = Math.max(x1 - x0, y1 - y0) * 1.08;
  const fit = SIDE / side;
  context.imageSmoothingQuality = "high";
  context.translate(SIDE / 2, SIDE / 2);
  context.scale(fit, fit);
  context.translate(-(x0 + x1) / 2, -(y0 + y1) / 2);
  context.scale(1 / scale, 1 / scale);
  context.drawImage(source, 0, 0);
  return canvas;
}
