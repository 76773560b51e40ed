// What survives a reload, and the browser's Back: photo and job in the address, the user's choices and the last photos in
// this browser's storage.

const name = (photoId) => `mild.edits.${photoId}`;

/** Where the page is: a photo, its job, and "choose" where the choice is looked at although there is a result. */
export function remembered() {
  const hash = new URLSearchParams(location.hash.slice(1));
  return { photo: hash.get("photo"), job: hash.get("job"), at: hash.get("at") };
}

function addressOf({ photo, job, at }) {
  const hash = new URLSearchParams();
  if (photo) hash.set("photo", photo);
  if (job) hash.set("job", job);
  if (at) hash.set("at", at);
  return hash.size ? `#${hash}` : location.pathname;
}

/** The page goes somewhere: Back leads to where it was. */
export function goTo(place) {
  if (addressOf(place) !== addressOf(remembered())) history.pushState(null, "", addressOf(place));
}

/** The page is somewhere else than it thought; there is no way back to that. */
export function isAt(place) {
  history.replaceState(null, "", addressOf(place));
}

export function rememberEdits(photo, edits) {
  try {
    localStorage.setItem(name(photo.id), JSON.stringify({ file: photo.name, before: photo.before, edits }));
  } catch {
    // Storage is full or forbidden: only a reload would notice.
  }
}

export function recallEdits(photoId) {
  try {
    return JSON.parse(localStorage.getItem(name(photoId))) ?? {};
  } catch {
    return {};
  }
}

const RECENT = "mild.recent";
const MOST = 8;

/** The last photos, newest first: [{id, file}]. The photos themselves lie on the server, for as long as it keeps them. */
export function recent() {
  try {
    return JSON.parse(localStorage.getItem(RECENT)) ?? [];
  } catch {
    return [];
  }
}

export function rememberRecent({ id, name: file }) {
  keepRecent([{ id, file }, ...recent().filter((photo) => photo.id !== id)].slice(0, MOST));
}

export function forgetRecent(id) {
  localStorage.removeItem(name(id));
  keepRecent(recent().filter((photo) => photo.id !== id));
}

function keepRecent(photos) {
  try {
    localStorage.setItem(RECENT, JSON.stringify(photos));
  } catch {
    // Storage is full or forbidden: nothing is offered next time.
  }
}
