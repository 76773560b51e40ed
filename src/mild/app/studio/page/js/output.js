// What the written photo says of itself: how much of its metadata stays, and that it was edited.

const metadata = document.getElementById("metadata");
const mark = document.getElementById("mark");

/** The part of a request that says so; nothing where the default is meant. */
export function outputNow() {
  const output = {};
  if (metadata.value !== "clean") output.metadata = metadata.value;
  if (!mark.checked) output.mark = false;
  return Object.keys(output).length ? { output } : {};
}
