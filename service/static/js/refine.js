// Refine: a job that brings the drawn face closer to the photo, with progress, preview and an end at will.

import { Problem, blobOf, get, post, remove } from "./api.js";
import * as notice from "./notice.js";
import * as stage from "./stage.js";
import * as state from "./state.js";
import { duration } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const POLL_MS = 1200;
const PREVIEW_MS = 4000;
const OVER = ["succeeded", "failed", "cancelled"];
let watched = null; // the face whose job is followed

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function wordsOf({ state: stage_, position, progress }) {
  if (stage_ === "queued") return position ? `Waiting for ${position} other ${position === 1 ? "job" : "jobs"}` : "About to start";
  if (stage_ === "cancelling") return "Stopping after this step";
  if (progress.warming_up) return `Warming up: the first steps are slow (step ${progress.step} of ${progress.steps})`;
  const left = progress.eta_s === null ? "" : `, ${duration(progress.eta_s)} left`;
  return `Step ${progress.step} of ${progress.steps}${left}`;
}

function showProgress(job) {
  const words = wordsOf(job);
  if ($("#refine-words").textContent !== words) $("#refine-words").textContent = words;
  const { step, steps } = job.progress;
  if (job.state === "queued" || !step) $("#refine-bar").removeAttribute("value");
  else $("#refine-bar").value = step / steps;
  $("#refine-stop").disabled = job.state === "cancelling";
}

function showControls({ a }) {
  const running = Boolean(a?.job);
  $("#refining").hidden = !running;
  $("#effort").disabled = running;
  $("#refine-go").hidden = running || !a?.photo;
  $("#refine-none").hidden = Boolean(a?.photo);
  if (running && watched !== a) follow(a);
}

async function showPreview(a, id) {
  const blob = await get(`jobs/${id}/preview?size=512`, { accept: "image/jpeg" }).catch(() => null);
  const { a: shown, tool } = state.now();
  if (blob && shown === a && tool === "refine" && a.job === id) stage.preview(blob);
}

async function finish(a, id, job) {
  if (job.state === "failed" && !job.progress.step) throw new Problem("no-result");
  const answer = await stage.busy("Drawing the refined face", () => get(`jobs/${id}/result?return=image`));
  if (state.now().a !== a) return;
  const { step, steps } = job.progress;
  const result = {
    tool: "refine", title: job.state === "cancelled" ? `Refined, ${step} of ${steps} steps` : "Refined",
    image: blobOf(answer.image), latentId: answer.latent_id, timings: answer.timings_ms, settings: { steps, job: id },
  };
  state.commit({ result, title: result.title });
}

// Follow a face's job until it is over; the face keeps its id, so that this goes on after a reload.
async function follow(a) {
  watched = a;
  const id = a.job;
  let seen = 0;
  let drawn = 0;
  try {
    for (;;) {
      const job = await get(`jobs/${id}`);
      if (state.now().a === a) showProgress(job);
      if (OVER.includes(job.state)) {
        await finish(a, id, job);
        break;
      }
      if (job.progress.step > drawn && performance.now() - seen > PREVIEW_MS) {
        [seen, drawn] = [performance.now(), job.progress.step];
        showPreview(a, id);
      }
      await pause(POLL_MS);
    }
  } catch (error) {
    if (error.code === "offline") {
      await pause(3 * POLL_MS);
      return follow(a);
    }
    notice.show(error);
  }
  a.job = null;
  if (watched === a) watched = null;
  state.changed();
}

async function start() {
  const { a } = state.now();
  const steps = $("[name=effort]:checked").value;
  try {
    const fields = { image: a.photo, face: a.index, steps };
    const job = await stage.busy("Sending the photo", () => post("refine", fields));
    a.job = job.id;
    showProgress(job);
    state.changed();
    $("#refine-stop").focus();
  } catch (error) {
    notice.show(error, start);
  }
}

async function cancel() {
  const { a } = state.now();
  $("#refine-stop").disabled = true;
  $("#refine-words").textContent = "Stopping after this step";
  await remove(`jobs/${a.job}`).catch(notice.show);
}

export function setUp() {
  $("#refine-go").onclick = start;
  $("#refine-stop").onclick = cancel;
  state.onChange(showControls);
}
