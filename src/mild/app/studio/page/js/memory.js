// What survives a reload: photo and job in the address, the user's choice in this tab's storage.

const name = (photoId) => `mild.edits.${photoId}`;

export function remembered() {
  const hash = new URLSearchParams(location.hash.slice(1));
  return { photo: hash.get("photo"), job: hash.get("job") };
}

export function rememberPlace(photo, job) {
  const hash = new URLSearchParams();
  if (photo) hash.set("photo", photo);
  if (job) hash.set("job", job);
  history.replaceState(null, "", hash.size ? `#${hash}` : location.pathname);
}

export function rememberEdits(photo, edits) {
  try {
    sessionStorage.setItem(name(photo.id), JSON.stringify({ file: photo.name, edits }));
  } catch {
    // Storage is full or forbidden: only a reload would notice.
  }
}

export function recallEdits(photoId) {
  try {
    return JSON.parse(sessionStorage.getItem(name(photoId))) ?? {};
  } catch {
    return {};
  }
}
