// The large picture: the result, the photo before it under a slider, and the face or the whole photo.

import { isAbort } from "./api.js";
import { during } from "./busy.js";
import { putBack } from "./faces.js";
import * as notice from "./notice.js";
import { urlOf } from "./photos.js";
import * as state from "./state.js";

const $ = (selector) => document.querySelector(selector);
const [picture, after, before, split] = ["#picture", "#after", "#before", "#split"].map($);
const WHOLE = "whole-photo";
const wholes = new Map();
let view = "crop";
let faceShown = null;
let resultShown = null;
let missed = null; // what a failed change left as it was
let stop = new AbortController();

// How a tool puts its result back into a whole photo in a way of its own: `make(result, snapshot, signal)`
// gives the image, and the photo before it if that is not the first face's.
export const offerWhole = (tool, offer) => wholes.set(tool, offer);

export const busy = (words, work) => during($("#busy"), words, work);

function put(image, blob, alt) {
  image.hidden = !blob;
  if (!blob) return image.removeAttribute("src");
  const url = urlOf(blob);
  if (image.src !== url) image.src = url;
  image.alt = alt;
}

function setSplit(percent) {
  split.value = percent;
  picture.style.setProperty("--split", `${percent}%`);
}

// Show a small, quick picture until the full one comes.
export function preview(blob) {
  if (picture.classList.contains("whole")) hideBefore(); // it would be the whole photo over a face
  picture.classList.remove("whole");
  put(after, blob, "Preview");
  $("#after-tag").textContent = "Preview";
  missed = null;
  holdSave();
  setSplit(0);
}

// Go back to the picture of the step shown, when the one that was to follow did not come.
export function goBack() {
  missed = { at: state.history().at, picture: pictureOf(state.now()) };
  show(state.now());
}

export const pictureOf = ({ a, result }) => result?.film ?? result?.image ?? a.image;

function canShowWhole(snapshot) {
  const { a, result } = snapshot;
  if (!a?.whole || !a.before) return false;
  if (!result) return true;
  const own = wholes.get(result.tool);
  return !result.film && (own ? own.possible(snapshot) : Boolean(result.latentId));
}

function setView(next) {
  view = next;
  for (const name of ["crop", "whole"]) $(`#view-${name}`).setAttribute("aria-pressed", String(name === view));
}

async function showWhole(snapshot) {
  const { a, result } = snapshot;
  if (!result) return showPair(a.whole, null, { title: "Unchanged", kind: WHOLE, alt: "The whole photo, unchanged" });
  if (!result.whole) {
    holdSave();
    stop.abort();
    stop = new AbortController();
    const own = wholes.get(result.tool);
    const make = own?.make ?? (async () => ({ image: await putBack(a, result, stop.signal) }));
    result.whole = await busy("Putting the face back into the photo", () => make(result, snapshot, stop.signal));
  }
  if (state.now() === snapshot && view === "whole") {
    showPair(result.whole.image, result.whole.before ?? a.whole, {
      title: result.title, kind: WHOLE, alt: `The whole photo: ${result.title}`, earlierAlt: "The whole photo as it was",
    });
  }
}

// Show a picture, with the one before it under the slider if there is one, and offer to save it.
function showPair(shown, earlier, { title, kind = "", alt, earlierAlt = "", earlierTag = "Photo" }) {
  picture.classList.toggle("whole", kind === WHOLE);
  put(after, shown, alt);
  if (missed?.at !== state.history().at || missed.picture !== pictureOf(state.now())) missed = null;
  $("#after-tag").textContent = missed ? `${title} (change not applied)` : title;
  if (earlier) {
    put(before, earlier, earlierAlt);
    $("#before-tag").textContent = earlierTag;
    split.hidden = $("#before-tag").hidden = false;
  } else hideBefore();
  $("#save").href = urlOf(shown);
  $("#save").download = fileName(title, kind, shown.type);
  $("#save").removeAttribute("aria-disabled");
}

function hideBefore() {
  put(before, null);
  split.hidden = $("#before-tag").hidden = true;
}

// Nothing can be saved while what is shown is not what will be.
function holdSave() {
  $("#save").removeAttribute("href");
  $("#save").setAttribute("aria-disabled", "true");
}

const fileName = (title, kind, type) =>
  `${["wplus", title, kind].filter(Boolean).join(" ").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/-$/, "")}.${(type.split("/")[1] ?? "jpg").replace("jpeg", "jpg")}`;

function show(snapshot) {
  const { a, result } = snapshot;
  if (!a) { faceShown = null; return; }
  const possible = canShowWhole(snapshot);
  $("#view").hidden = !possible;
  if (!possible) setView("crop");
  if (faceShown !== a && !result) setSplit(a.before ? 50 : 0); // how close the drawing comes
  else if (resultShown !== result && !state.canRedo()) setSplit(0); // what the tool made, whole
  [faceShown, resultShown] = [a, result];
  const drawn = a.photo && !a.isResult ? "Drawn again" : a.name;
  const title = result?.title ?? drawn;
  $("#use").disabled = !result?.latentId;
  if (view === "whole") {
    showWhole(snapshot).catch((error) => {
      if (isAbort(error)) return;
      setView("crop");
      show(state.now());
      notice.show(error);
    });
  } else {
    const earlier = a.before ?? (result ? a.image : null);
    const alt = result ? `The face after: ${result.title}` : a.photo ? "The face as the service drew it again" : `A portrait: ${a.name}`;
    showPair(pictureOf(snapshot), earlier, {
      title, alt, earlierAlt: a.before ? "The face in the photo" : "The face before", earlierTag: a.before ? "Photo" : "Before",
    });
  }
}

// The whole photo with the result in it, if that is what is shown: other faces in it can be changed next.
export const wholeShown = () => (view === "whole" ? state.now().result?.whole?.image : undefined);

after.onload = () => picture.style.setProperty("--ratio", String(after.naturalWidth / after.naturalHeight));
split.oninput = () => setSplit(Number(split.value));
$("#view-crop").onclick = () => { setView("crop"); show(state.now()); };
$("#view-whole").onclick = () => { setView("whole"); setSplit(0); show(state.now()); };
state.onMove(() => { missed = null; });
state.onChange(show);
