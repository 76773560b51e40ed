// The last photos on the start page, with the choices made on them; kept on this machine, and cleared by one button.

import * as api from "./api.js";
import { forgetRecent, recent } from "./memory.js";
import { note } from "./messages.js";
import { element } from "./rows.js";

const box = document.getElementById("recent");
const list = box.querySelector("ul");

/** Show them; `open(id)` opens one. Photos that the server no longer has are forgotten here, too. */
export async function offerRecent(open) {
  const items = [];
  for (const { id, file } of recent()) {
    try {
      const src = URL.createObjectURL(await api.smallPicture(id));
      const button = element("button", { type: "button" }, element("img", { src, alt: `Recent: ${file}` }));
      button.addEventListener("click", () => open(id));
      items.push(element("li", {}, button));
    } catch (error) {
      if (error.status === 404) forgetRecent(id);
    }
  }
  list.replaceChildren(...items);
  box.hidden = !items.length;
}

document.getElementById("forget").addEventListener("click", async () => {
  for (const { id } of recent()) {
    // A photo of a running job stays with the server until that is over; here it is forgotten at once.
    await api.forgetPhoto(id).catch(() => {});
    forgetRecent(id);
  }
  list.replaceChildren();
  box.hidden = true;
  note("Forgotten.");
});
