// Around the picture: likeness in words, the faces found, history, files, figures and the command.

import { commandOf } from "./command.js";
import { codeOf, measure, readPhoto, withFaces } from "./faces.js";
import * as notice from "./notice.js";
import { urlOf } from "./photos.js";
import * as stage from "./stage.js";
import * as state from "./state.js";
import { likeness } from "./words.js";

const $ = (selector) => document.querySelector(selector);

const TEXT_FIELDS = "input:not([type=range], [type=radio], [type=checkbox], [type=file]), textarea";

function picture(blob, alt) {
  const image = document.createElement("img");
  image.src = urlOf(blob);
  image.alt = alt;
  return image;
}

function button(content, label, onclick) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(content);
  made.setAttribute("aria-label", label);
  made.onclick = onclick;
  return made;
}

function showFaces({ a }) {
  const box = $("#faces");
  box.hidden = a.faces.length < 2;
  if (box.hidden) return box.replaceChildren();
  const text = document.createElement("span");
  text.textContent = `${a.faces.length} faces were found:`;
  const chips = a.faces.map(({ index, picture: portrait }) => {
    const content = portrait ? picture(portrait, "") : String(index + 1);
    const chip = button(content, `Face ${index + 1} of ${a.faces.length}`, () => choose(a, index));
    chip.setAttribute("aria-pressed", String(index === a.index));
    return chip;
  });
  fill(box, [text, ...chips]);
}

// Fill a box anew; who was in it by keyboard stays in it.
function fill(box, parts) {
  const inside = box.contains(document.activeElement);
  box.replaceChildren(...parts);
  if (inside) box.querySelector("[aria-current], [aria-pressed=true]")?.focus();
}

let choosing = 0;

async function choose(a, index) {
  const turn = ++choosing;
  const changed = stage.wholeShown();
  try {
    const face = await stage.busy("Reading that face", () => readPhoto(changed ?? a.photo, { index, name: a.name }));
    if (turn !== choosing || state.now().a !== a) return;
    state.commit({ a: { ...face, whole: changed ?? a.whole, derived: a.derived || Boolean(changed) }, result: null, values: {}, title: `face ${index + 1}` });
    finish(state.now().a);
  } catch (error) {
    if (turn === choosing && state.now().a === a) notice.show(error, () => choose(a, index));
  }
}

// Ask for what a new face was shown without.
export function finish(face) {
  measure(face).then(state.changed, () => {}); // its figures are an extra: the picture is there
}

// Bring the step shown into view. Only the strip moves: scrollIntoView would move the page too.
function reveal(box) {
  const item = box.querySelector("[aria-current]");
  if (box.hidden || !item) return;
  const [outer, inner] = [box, item].map((each) => each.getBoundingClientRect());
  if (inner.left < outer.left) box.scrollLeft -= outer.left - inner.left;
  else if (inner.right > outer.right) box.scrollLeft += inner.right - outer.right;
}

let revealed = null;

function showHistory() {
  const { steps, at } = state.history();
  const first = steps[0].a ? 0 : 1;
  const box = $("#history");
  box.hidden = steps.length - first < 2;
  const items = steps.slice(first).map((step, place) => {
    const item = document.createElement("li");
    const name = step.result?.title ?? step.a.name;
    const index = first + place;
    const link = button(picture(step.result?.image ?? step.a.image, ""), `Step ${place + 1}: ${name}`, () => state.goTo(index));
    if (index === at) link.setAttribute("aria-current", "step");
    link.title = name;
    item.append(link);
    return item;
  });
  fill(box, items);
  $("#undo").disabled = !state.canUndo();
  $("#redo").disabled = !state.canRedo();
  const { a, result } = steps[at];
  if (revealed === (result ?? a)) return;
  revealed = result ?? a;
  reveal(box);
}

function showFigures({ a, result }) {
  const figures = [];
  const { quality } = a;
  if (quality) {
    figures.push(["Likeness of the drawn face, 0 is the same", quality.lpips.toFixed(3)]);
    figures.push(["Difference of the pixels", quality.psnr === null ? "none" : `${quality.psnr.toFixed(1)} dB`]);
    figures.push(["Likeness of structure, 1 is the same", quality.ssim.toFixed(3)]);
    if (quality.identity_similarity !== null) {
      figures.push(["Likeness of the person; strangers have about 0.37", quality.identity_similarity.toFixed(2)]);
    }
  }
  const { total } = (result ?? a).timings ?? {};
  if (total) figures.push(["Time in the service", `${Math.round(total)} ms`]);
  $("#figures").replaceChildren(...figures.map(([name, value]) => {
    const row = document.createElement("div");
    const [term, figure] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    figure.textContent = value;
    row.append(term, figure);
    return row;
  }));
}

function show(snapshot) {
  if (!snapshot.a) return;
  showFaces(snapshot);
  showHistory();
  showFigures(snapshot);
  const { a, result } = snapshot;
  const words = a.quality && !a.isResult && !result ? likeness(a.quality) : "";
  if ($("#likeness").textContent !== words) $("#likeness").textContent = words;
  $("#command").textContent = commandOf(snapshot, location);
}

async function saveFile({ dataset: { file: type, suffix } }) {
  const { a, result } = state.now();
  const face = result?.latentId ? Object.assign(result, { isResult: true, origin: result.image }) : a;
  try {
    const blob = await stage.busy("Writing the file", () => withFaces([face], () => codeOf(face.latentId, type)));
    const link = document.createElement("a");
    link.href = urlOf(blob);
    link.download = `wplus-face.${suffix}`;
    link.click();
  } catch (error) {
    notice.show(error);
  }
}

for (const file of document.querySelectorAll("[data-file]")) file.onclick = () => saveFile(file);
$("#undo").onclick = state.undo;
$("#redo").onclick = state.redo;
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || !state.now().a) return;
  if (event.target.matches(TEXT_FIELDS)) return; // it has an undo of its own
  event.preventDefault();
  (event.shiftKey ? state.redo : state.undo)();
});
state.onMove(() => { choosing += 1; });
state.onChange(show);
