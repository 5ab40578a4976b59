// Blend: a face between the two, as a picture or as an animation there and back.

import { blobOf, post } from "./api.js";
import { once } from "./busy.js";
import { withFaces } from "./faces.js";
import { live } from "./live.js";
import * as notice from "./notice.js";
import { runWithBoth } from "./second.js";
import * as stage from "./stage.js";
import * as state from "./state.js";

const panel = document.querySelector("#blend");
const input = panel.querySelector("[name=share]");
const output = panel.querySelector("output");
const PREVIEW_PX = 256;
const FILM_PX = 512;
const FRAMES = 24;
let shown = {};
let filming = new AbortController();

const pairOf = ({ a, b }) => [["latent_id", a.latentId], ["latent_id", b.latentId]];
const morph = (snapshot, options, how) =>
  withFaces([snapshot.a, snapshot.b], () => post("morph", [...pairOf(snapshot), ...Object.entries(options)], how));
const sent = ({ a, b }, fields, accept) => ({ path: "morph", faces: [["latent_id", a], ["latent_id", b]], fields, accept });
const percent = (share) => `${Math.round(share * 100)} %`;
const isCurrent = ({ a, b }) => state.now().a === a && state.now().b === b;

async function preview(signal) {
  const snapshot = state.now();
  const options = { lam: input.value, size: PREVIEW_PX, no_store: true, image_quality: 80 };
  const blob = await morph(snapshot, options, { accept: "image/jpeg", signal });
  if (!signal.aborted && isCurrent(snapshot)) stage.preview(blob);
}

async function full(signal) {
  const snapshot = state.now();
  if (!snapshot.a || !snapshot.b) return;
  const share = Number(input.value);
  const answer = await stage.busy("Blending the two", () => morph(snapshot, { lam: share, return: "image" }, { signal }));
  if (signal.aborted || !isCurrent(snapshot)) return;
  notice.clear();
  const result = {
    tool: "blend", a: snapshot.a, b: snapshot.b, title: `Blend, ${percent(share)} of the first`, image: blobOf(answer.image),
    latentId: answer.latent_id, timings: answer.timings_ms, sent: sent(snapshot, { lam: share }),
  };
  state.commit({ blend: { share }, result, title: result.title });
}

const control = live({ preview, full, failed: notice.show });

async function animate() {
  const snapshot = state.now();
  const options = { steps: FRAMES, size: FILM_PX };
  filming.abort();
  const { signal } = filming = new AbortController();
  try {
    const film = await stage.busy(`Drawing ${FRAMES} pictures`, () => morph(snapshot, options, { accept: "image/webp", signal }));
    if (signal.aborted || !isCurrent(snapshot)) return;
    const base = snapshot.result?.tool === "blend" ? snapshot.result : null;
    const result = {
      tool: "blend", a: snapshot.a, b: snapshot.b, title: "Animation", image: base?.image ?? snapshot.a.image, latentId: base?.latentId ?? null,
      timings: null, sent: sent(snapshot, options, "image/webp"), film,
    };
    state.commit({ result, title: "animation" });
  } catch (error) {
    notice.show(error, animateOnce);
  }
}

const animateOnce = () => once(panel.querySelector("#animate"), animate);

function showShare() {
  const share = Number(input.value);
  output.textContent = `${percent(share)} first, ${percent(1 - share)} second`;
  input.setAttribute("aria-valuetext", output.textContent);
  input.style.setProperty("--middle", "50%");
  input.style.setProperty("--at", `${share * 100}%`);
}

function show({ a, b, blend }) {
  if (!a || !b) return control.halt();
  if (shown.blend !== blend) {
    input.value = blend.share;
    showShare();
  }
  shown = { blend };
}

export function setUp() {
  input.oninput = () => { showShare(); control.changed(); };
  panel.querySelector("#animate").onclick = animateOnce;
  state.onMove(() => { filming.abort(); shown = {}; });
  state.onChange(show);
  runWithBoth("blend", control.rest);
  showShare();
}
