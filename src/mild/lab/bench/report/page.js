"use strict";
// Tables: a click on a heading sorts by it, another one the other way round. Cells without a value stay last.
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => {
      const cell = row.cells[column];
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      return cell.matches("th") || !cell.textContent.startsWith("-") ? cell.textContent : null;
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }));
}
// Before and after.
for (const slider of document.querySelectorAll(".pair input"))
  slider.addEventListener("input", () => slider.parentElement.style.setProperty("--at", `${slider.value}%`));
for (const button of document.querySelectorAll(".truth"))
  button.addEventListener("click", () => {
    const image = button.closest("figure").querySelector("img:not(.before)");
    [image.src, button.dataset.other] = [button.dataset.other, image.src];
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
  });
for (const select of document.querySelectorAll(".which"))
  select.addEventListener("change", () => {
    for (const figure of select.closest("section").querySelectorAll(".cases figure"))
      figure.hidden = figure.dataset.method !== select.value;
  });
