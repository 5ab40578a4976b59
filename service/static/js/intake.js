// How faces come in: chosen, taken, dropped, pasted, invented, or a sample.

import { Problem, isAbort } from "./api.js";
import { finish } from "./about.js";
import { during } from "./busy.js";
import { invent, isCode, readCode, readPhoto, sample } from "./faces.js";
import * as notice from "./notice.js";
import * as state from "./state.js";

const $ = (selector) => document.querySelector(selector);
const SAMPLES = [
  ["1.jpg", "A young woman with dark, short hair, smiling"],
  ["2.jpg", "An older man with glasses"],
  ["3.jpg", "A blonde woman, smiling"],
  ["4.jpg", "A young man with black hair, smiling"],
  ["5.jpg", "A woman with long, dark hair, outdoors"],
  ["two.jpg", "Two people side by side"],
  ["grey.jpg", "A man with a moustache, in black and white"],
];
const stops = {};

const boxOf = (slot) => $(slot === "b" ? "#second-busy" : state.now().a ? "#busy" : "#welcome-busy");

// Get a face for a slot; the newest wish of a slot is the one that counts.
async function take(slot, words, make) {
  stops[slot]?.abort();
  const stop = stops[slot] = new AbortController();
  notice.clear();
  try {
    const face = await during(boxOf(slot), words, () => make(stop.signal));
    if (stop.signal.aborted) return;
    if (slot === "b") state.amend({ b: face });
    else state.commit({ ...state.START, b: state.now().b, tool: state.now().tool, a: face, title: face.name });
    finish(face);
  } catch (error) {
    if (!isAbort(error) && !stop.signal.aborted) notice.show(error, () => take(slot, words, make));
  }
}

// Give up what is on its way.
export const stop = () => Object.values(stops).forEach((each) => each.abort());

export function takeFile(slot, file, name) {
  if (isCode(file)) return take(slot, "Drawing the saved face", (signal) => readCode(file, { signal }));
  return take(slot, "Finding the face and drawing it", (signal) => readPhoto(file, { name, signal }));
}

function setUpSamples(list) {
  const slot = list.dataset.samples;
  list.append(...SAMPLES.map(([file, alt]) => {
    const [item, button, image] = ["li", "button", "img"].map((tag) => document.createElement(tag));
    Object.assign(image, { src: `static/samples/${file}`, alt, loading: "lazy", width: 112, height: 112 });
    Object.assign(button, { type: "button", title: alt });
    item.classList.toggle("wide", file === "two.jpg");
    button.onclick = () => take(slot, "Finding the face and drawing it",
      async (signal) => readPhoto(await sample(image.src), { name: "a sample", signal }));
    button.append(image);
    item.append(button);
    return item;
  }));
}

// The slot over which something is dragged: the second face's card, or anywhere else the first.
const slotAt = (event) => (event.target.closest?.("#second") ? "b" : "a");

function drop(event) {
  event.preventDefault();
  $("#drop").hidden = true;
  const [file] = event.dataTransfer.files;
  if (file) takeFile(slotAt(event), file);
  else notice.show(new Problem("no-file"));
}

function drag(event) {
  event.preventDefault();
  $("#drop").hidden = false;
  $("#drop p").textContent = slotAt(event) === "b" ? "Drop it as the second face" : "Drop it as your photo";
}

export function setUp() {
  state.onMove(() => stops.a?.abort());
  document.querySelectorAll("[data-samples]").forEach(setUpSamples);
  for (const input of document.querySelectorAll("[data-pick]")) {
    input.onchange = () => {
      const [file] = input.files;
      input.value = ""; // so that the same file can be chosen again
      if (file) takeFile(input.dataset.pick, file);
    };
  }
  for (const button of document.querySelectorAll("[data-invent]")) {
    button.onclick = () => take(button.dataset.invent, "Inventing a face", (signal) => invent({ signal }));
  }
  document.addEventListener("dragover", drag);
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("#drop").hidden = true; });
  document.addEventListener("drop", drop);
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file) return;
    event.preventDefault();
    takeFile("a", file);
  });
}
