// The second face's card, and the tools that need both faces.

import { urlOf } from "./photos.js";
import * as state from "./state.js";
import { onOpen } from "./tabs.js";

const $ = (selector) => document.querySelector(selector);

function show({ b }) {
  const image = $("#second-image");
  image.hidden = !b;
  if (b) {
    image.src = urlOf(b.before ?? b.image);
    image.alt = `Second face: ${b.name}`;
  }
  $("#second-hint").textContent = b
    ? `${b.name[0].toUpperCase()}${b.name.slice(1)}.${b.count > 1 ? ` ${b.count} faces were found; this is the largest.` : ""}`
    : "Choose one below, or drop a photo here.";
  $("#swap").hidden = !b;
}

export function setUp() {
  $("#swap").onclick = () => {
    const { a, b, tool } = state.now();
    state.commit({ ...state.START, a: b, b: a, tool, title: "the two swapped" });
  };
  state.onChange(show);
}

// Run a tool by itself once it is open and has both faces: when it is opened, and when the visitor
// changes a face. Going to another step only shows what was drawn there.
export function runWithBoth(tool, run) {
  let asked = state.canRedo() ? state.now() : {}; // after a reload, at a step that was gone back to
  const ask = () => {
    const { a, b } = state.now();
    if (!a || !b) return;
    asked = { a, b };
    run();
  };
  state.onMove(() => { asked = state.now(); });
  state.onChange(({ a, b, tool: open, result }) => {
    const isDone = result?.tool === tool && result.a === a && result.b === b;
    if (open === tool && !isDone && (asked.a !== a || asked.b !== b)) ask();
  });
  onOpen(tool, () => { if (state.now().result?.tool !== tool) ask(); });
}
