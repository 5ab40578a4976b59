// Colour: the first face with the colours of the second.

import { blobOf, post } from "./api.js";
import { withFaces } from "./faces.js";
import { live } from "./live.js";
import * as notice from "./notice.js";
import { runWithBoth } from "./second.js";
import * as stage from "./stage.js";
import * as state from "./state.js";

const panel = document.querySelector("#colour");
const [strength, keep, row] = ["strength", "keep", "row"].map((name) => panel.querySelector(`[name=${name}]`));
const PREVIEW_PX = 256;
let shown = {};

// The light and shade are the photo's, so keeping them needs the photo itself.
function fields({ a, b }, settings, photo = a.photo) {
  const fromPhoto = photo && !a.isResult && settings.keep;
  return {
    gray: fromPhoto ? photo : a.latentId, ...(fromPhoto && { face: a.index }), color: b.latentId,
    strength: settings.strength, first_row: settings.row, keep_luminance: Boolean(fromPhoto),
  };
}

const colorize = (snapshot, settings, options, how, photo) =>
  withFaces([snapshot.a, snapshot.b], () => post("colorize", { ...fields(snapshot, settings, photo), ...options }, how));
const settingsNow = () => ({ strength: Number(strength.value), keep: keep.checked, row: Number(row.value) });
const isCurrent = ({ a, b }) => state.now().a === a && state.now().b === b;

async function preview(signal) {
  const snapshot = state.now();
  const options = { size: PREVIEW_PX, no_store: true, image_quality: 80 };
  const blob = await colorize(snapshot, settingsNow(), options, { accept: "image/jpeg", signal });
  if (!signal.aborted && isCurrent(snapshot)) stage.preview(blob);
}

async function full(signal) {
  const snapshot = state.now();
  if (!snapshot.a || !snapshot.b) return;
  const settings = settingsNow();
  const answer = await stage.busy("Colouring", () => colorize(snapshot, settings, { return: "image" }, { signal }));
  if (signal.aborted || !isCurrent(snapshot)) return;
  notice.clear();
  const { gray: _, face: __, color: ___, ...others } = fields(snapshot, settings);
  const result = {
    tool: "colour", a: snapshot.a, b: snapshot.b, title: "Coloured", image: blobOf(answer.image), latentId: answer.latent_id,
    timings: answer.timings_ms, settings, sent: { path: "colorize", faces: [["gray", snapshot.a], ["color", snapshot.b]], fields: others },
  };
  state.commit({ colour: settings, result, title: result.title });
}

const control = live({ preview, full, failed: notice.show });

function showValues() {
  for (const [input, words] of [[strength, `${Math.round(strength.value * 100)} %`], [row, row.value]]) {
    input.parentElement.querySelector("output").textContent = words;
    input.setAttribute("aria-valuetext", words);
    input.style.setProperty("--middle", "0%");
    input.style.setProperty("--at", `${(input.value / input.max) * 100}%`);
  }
}

function show({ a, b, colour }) {
  if (!a || !b) return control.halt();
  keep.disabled = !a.photo || a.isResult;
  if (shown.colour !== colour) {
    Object.assign(strength, { value: colour.strength });
    Object.assign(keep, { checked: colour.keep });
    if (colour.row !== null) row.value = colour.row;
    showValues();
  }
  shown = { colour };
}

export function setUp() {
  for (const input of [strength, row]) input.oninput = () => { showValues(); control.changed(); };
  keep.onchange = () => control.rest();
  stage.offerWhole("colour", {
    possible: ({ a }) => !a.isResult,
    make: async ({ settings }, snapshot, signal) => {
      // The photo is sent even where its light is not kept: the face goes back into it.
      const photo = { gray: snapshot.a.whole, face: snapshot.a.index, keep_luminance: settings.keep, output: "photo" };
      return { image: await colorize(snapshot, settings, photo, { accept: "image/jpeg", signal }) };
    },
  });
  state.onMove(() => { shown = {}; });
  state.onChange(show);
  runWithBoth("colour", control.rest);
  showValues();
}
