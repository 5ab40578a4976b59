// Whether the service can be reached and is ready, in words, at the top of the page.

import { onTrouble } from "./api.js";

const box = document.querySelector("#state");
const keyRow = document.querySelector("#key-row");
const WORDS = { ready: "Ready", starting: "Starting: it loads its networks", offline: "Cannot be reached" };
const AGAIN_MS = { ready: 30000, starting: 1500, offline: 3000 };
let timer;

function show(state) {
  if (box.className !== state) {
    box.className = state;
    box.textContent = WORDS[state];
  }
  clearTimeout(timer);
  timer = setTimeout(watch, AGAIN_MS[state]);
}

async function watch() {
  try {
    const answer = await fetch("readyz");
    show(answer.ok ? "ready" : "starting");
  } catch {
    show("offline");
  }
}

export function setUp() {
  box.hidden = false;
  keyRow.onsubmit = (event) => event.preventDefault();
  onTrouble((trouble) => {
    if (trouble === "unauthorized") keyRow.hidden = false;
    else show(trouble);
  });
  watch();
  hideMetrics().catch(() => {}); // offline: the state says so
}

// Metrics may have a port of their own, which pages cannot know of.
async function hideMetrics() {
  const link = document.querySelector("nav [href=metrics]");
  link.hidden = (await fetch(link.href, { method: "HEAD" })).status === 404;
}
