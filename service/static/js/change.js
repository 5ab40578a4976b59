// The sliders: one for each direction that the service offers.

import { blobOf, post } from "./api.js";
import { directions } from "./directions.js";
import { withFaces } from "./faces.js";
import { live } from "./live.js";
import * as notice from "./notice.js";
import * as stage from "./stage.js";
import * as state from "./state.js";
import { signed } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const PREVIEW_PX = 256;
const sliders = new Map();

const chosen = () =>
  Object.fromEntries([...sliders].map(([name, { input }]) => [name, Number(input.value)]).filter(([, value]) => value));
const written = (values) => Object.entries(values).map(([name, value]) => `${name}:${value}`).join(",");

function titleOf(values) {
  return Object.entries(values).map(([name, value]) => `${sliders.get(name).title} ${sliders.get(name).words(value)}`).join(", ");
}

const edit = (a, values, options, how) =>
  withFaces([a], () => post("edit", { latent_id: a.latentId, directions: written(values), ...options }, how));

async function preview(signal) {
  const { a } = state.now();
  const values = chosen();
  if (!Object.keys(values).length) return stage.preview(a.image);
  const options = { size: PREVIEW_PX, no_store: true, image_quality: 80 };
  const blob = await edit(a, values, options, { accept: "image/jpeg", signal });
  if (!signal.aborted && state.now().a === a) stage.preview(blob);
}

async function full(signal) {
  const { a } = state.now();
  const values = chosen();
  if (!Object.keys(values).length) return state.commit({ values, result: null, title: "back to the middle" });
  const answer = await stage.busy("Drawing it", () => edit(a, values, { return: "image" }, { signal }));
  if (signal.aborted || state.now().a !== a) return;
  notice.clear();
  const result = {
    tool: "change", title: titleOf(values), image: blobOf(answer.image), latentId: answer.latent_id,
    timings: answer.timings_ms, sent: { path: "edit", faces: [["latent_id", a]], fields: { directions: written(values) } },
  };
  state.commit({ values, result, title: result.title });
}

const control = live({ preview, full, failed: notice.show });

function makeSlider({ name, title, unit, safe, description }) {
  const [low, high] = safe;
  const step = unit.startsWith("year") ? 1 : 0.1;
  const digits = step < 1 ? 1 : 0;
  const inUnit = unit.startsWith("year") ? " years" : "";
  const words = (value) => `${signed(value, digits)}${inUnit}`;
  const label = title[0].toUpperCase() + title.slice(1).replaceAll("_", " ");
  const [row, input, reset, text] = ["div", "input", "button", "label"].map((tag) => document.createElement(tag));
  row.className = "slider";
  Object.assign(input, { type: "range", id: `slide-${name}`, min: low, max: high, step, value: 0 });
  Object.assign(text, { htmlFor: input.id, textContent: label, title: description });
  Object.assign(reset, { type: "button", className: "value" });
  const show = () => {
    const value = Number(input.value);
    reset.textContent = words(value);
    reset.disabled = !value;
    reset.setAttribute("aria-label", `${label} ${words(value)}: back to 0`);
    reset.title = value ? "Back to 0" : "";
    input.setAttribute("aria-valuetext", value ? words(value) : "as it is");
    input.style.setProperty("--middle", `${(-low / (high - low)) * 100}%`);
    input.style.setProperty("--at", `${((value - low) / (high - low)) * 100}%`);
  };
  input.oninput = () => { show(); control.changed(); };
  reset.onclick = () => { input.value = 0; show(); control.rest(); input.focus(); };
  row.append(text, reset, input);
  show();
  sliders.set(name, { input, show, words, title: label });
  return row;
}

let shown = {};
const forgetShown = () => { shown = {}; }; // so that the sliders follow, wherever they were

// Set the sliders when another step is shown, and only then: somebody may be moving one.
function show({ a, values }) {
  if (!a) control.halt();
  if (!a || (shown.a === a && shown.values === values)) return;
  shown = { a, values };
  for (const [name, { input, show: showValue }] of sliders) {
    input.value = values[name] ?? 0;
    showValue();
  }
  $("#reset").disabled = !Object.keys(values).length;
}

export async function setUp() {
  const list = await directions();
  $("#sliders").replaceChildren(...list.map(makeSlider));
  $("#reset").hidden = !list.length;
  if (!list.length) $("#change .explain").textContent = "This service offers no changes.";
  $("#reset").onclick = () => {
    for (const { input, show: showValue } of sliders.values()) { input.value = 0; showValue(); }
    control.rest();
  };
  forgetShown();
  state.onMove(forgetShown);
  state.onChange(show);
  show(state.now());
}
