// Refine: a job that brings the drawn face closer to the photo, with progress, preview and an end at will.

import { Problem, blobOf, get, newName, post, remove } from "./api.js";
import { once } from "./busy.js";
import * as notice from "./notice.js";
import * as stage from "./stage.js";
import * as state from "./state.js";
import { duration, mayPass } from "./words.js";

const $ = (selector) => document.querySelector(selector);
const POLL_MS = 1200;
const PREVIEW_MS = 4000;
const AGAIN_MS = 3600;
const LOST = ["unknown-job", "no-result", "model-mismatch"]; // what says that no result will come
const OVER = ["succeeded", "failed", "cancelled"];
const followed = new Set(); // ids of jobs

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
  for (const face of new Set(state.history().steps.map((step) => step.a))) {
    if (face?.job && !followed.has(face.job)) follow(face);
  }
}

async function showPreview(a, id) {
  const blob = await get(`jobs/${id}/preview?size=512`, { accept: "image/jpeg" }).catch(() => null);
  const { a: shown, tool } = state.now();
  if (blob && shown === a && tool === "refine" && a.job === id) stage.preview(blob);
}

async function finish(a, id, job) {
  if (job.state === "failed" && !job.progress.step) throw new Problem("no-result");
  const answer = await stage.busy("Drawing the refined face", () => get(`jobs/${id}/result?return=image`));
  const { step, steps } = job.progress;
  const result = {
    tool: "refine", title: job.state === "cancelled" ? `Refined, ${step} of ${steps} steps` : "Refined",
    image: blobOf(answer.image), latentId: answer.latent_id, timings: answer.timings_ms,
    sent: { path: "refine", faces: [["image", a]], fields: { steps: job.state === "cancelled" ? step : steps } },
  };
  a.job = null;
  state.insert(a, { result, title: result.title });
}

const isKept = (a) => state.history().steps.some((step) => step.a === a);

// Watch a job until it is over and its result is there, or its face is forgotten.
async function watch(a, id) {
  let seen = 0;
  let drawn = 0;
  while (isKept(a)) {
    const job = await get(`jobs/${id}`);
    if (state.now().a === a) showProgress(job);
    if (OVER.includes(job.state)) return finish(a, id, job);
    if (job.progress.step > drawn && performance.now() - seen > PREVIEW_MS) {
      [seen, drawn] = [performance.now(), job.progress.step];
      showPreview(a, id);
    }
    await pause(POLL_MS);
  }
}

// Follow a face's job, whichever face is shown. The face keeps the job's id until its result is there or
// cannot come any more: so this goes on after a reload, and when the service refuses a request for now.
async function follow(a) {
  const id = a.job;
  let told = false;
  followed.add(id);
  while (a.job === id && isKept(a)) {
    try {
      await watch(a, id);
    } catch (error) {
      const isLost = error.code === undefined || LOST.includes(error.code);
      if (isLost) a.job = null;
      if (isLost || !(told || mayPass(error) || error.code === "jobs-unavailable")) {
        notice.show(error);
        told = true;
      }
      if (isLost) break;
      if (state.now().a === a) $("#refine-words").textContent = "Waiting for the service to answer";
      await pause(AGAIN_MS);
    }
  }
  followed.delete(id);
  state.changed();
}

async function start() {
  const { a } = state.now();
  await send(a, { image: a.photo, face: a.index, steps: $("[name=effort]:checked").value }, newName());
}

async function send(a, fields, key) {
  notice.clear();
  try {
    const job = await stage.busy("Sending the photo", () => post("refine", fields, { key }));
    a.job = job.id;
    if (state.now().a === a) showProgress(job);
    state.changed();
    if (state.now().a === a) $("#refine-stop").focus();
  } catch (error) {
    notice.show(error, () => once($("#refine-go"), () => send(a, fields, key)));
  }
}

async function cancel() {
  const { a } = state.now();
  $("#refine-stop").disabled = true;
  $("#refine-words").textContent = "Stopping after this step";
  await remove(`jobs/${a.job}`).catch(notice.show);
}

export function setUp() {
  $("#refine-go").onclick = () => once($("#refine-go"), start);
  $("#refine-stop").onclick = cancel;
  state.onChange(showControls);
}
