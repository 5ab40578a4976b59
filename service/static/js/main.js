// Puts the page together: what was kept comes back, then the tools, then whatever the visitor brings.

import { asFace } from "./faces.js";
import * as blend from "./blend.js";
import * as change from "./change.js";
import * as colour from "./colour.js";
import * as intake from "./intake.js";
import * as keep from "./keep.js";
import * as merge from "./merge.js";
import * as notice from "./notice.js";
import * as refine from "./refine.js";
import * as second from "./second.js";
import * as serviceState from "./service_state.js";
import * as state from "./state.js";
import * as tabs from "./tabs.js";

const $ = (selector) => document.querySelector(selector);
let isSaving = false;
let isBehind = false; // something has changed since the last save began

function showRoom({ a }) {
  const entered = Boolean(a) && $("#studio").hidden;
  $("#welcome").hidden = Boolean(a);
  $("#studio").hidden = !a;
  if (entered) window.scrollTo({ top: 0 });
}

// At once: a browser may drop what a page writes while it is being closed. One at a time: it may be large.
async function save() {
  isBehind = true;
  if (isSaving) return;
  isSaving = true;
  try {
    while (isBehind) await saveNow();
  } finally {
    isSaving = false;
  }
}

async function saveNow() {
  isBehind = false;
  if (state.now().a) await keep.save(state.history()).catch(() => {}); // private windows may not allow it
}

function goOn() {
  const { a, result } = state.now();
  if (!result?.latentId) return;
  state.commit({ a: asFace(a, result), result: null, values: {}, title: result.title });
}

function startOver() {
  keep.forget().catch(() => {});
  intake.stop();
  notice.clear();
  state.replace();
  $("#welcome input").focus();
}

async function start() {
  serviceState.setUp();
  intake.setUp();
  tabs.setUp();
  second.setUp();
  state.onChange(showRoom);
  state.onChange(save);
  window.addEventListener("pagehide", () => { if (isBehind) saveNow(); });
  $("#use").onclick = goOn;
  $("#restart").onclick = startOver;
  const kept = await keep.load().catch(() => null);
  if (kept) state.replace(kept);
  else state.changed();
  for (const tool of [blend, colour, merge, refine]) tool.setUp();
  state.changed();
  $("#key").onchange = setUpSliders;
  await setUpSliders();
}

// The sliders wait for the service, and for a key where it needs one.
const setUpSliders = () => change.setUp().catch((error) => notice.show(error, setUpSliders));

start().catch(notice.show);
