// What the page shows, as a snapshot, and the snapshots before and after it: undo moves among them.
//
// A snapshot has the two faces `a` and `b`, the open `tool`, the settings of the tools, and the
// `result` they gave. Snapshots are never changed, so they share their faces and pictures.

const MOST = 30;
export const START = Object.freeze({
  a: null, b: null, tool: "change", values: {}, blend: { share: 0.5 },
  colour: { strength: 1, keep: true, row: null }, result: null, title: "",
});

let steps = [START];
let at = 0;
const listeners = new Set();
const movers = new Set();

export const now = () => steps[at];
export const history = () => ({ steps, at });
export const canUndo = () => at > 0 && steps[at - 1].a !== null;
export const canRedo = () => at < steps.length - 1;
export const onChange = (listener) => listeners.add(listener);
export const changed = () => listeners.forEach((listener) => listener(now()));

// Called when the visitor goes to another step: what was on its way for the one that is left must not come.
export const onMove = (listener) => movers.add(listener);

function moved() {
  movers.forEach((listener) => listener());
  changed();
}

// Go on to a new snapshot, and forget those that were undone.
export function commit(change) {
  steps = [...steps.slice(0, at + 1), Object.freeze({ ...now(), ...change })].slice(-MOST);
  at = steps.length - 1;
  changed();
}

// Replace the snapshot without a step to undo.
export function amend(change) {
  steps = steps.map((step, index) => (index === at ? Object.freeze({ ...step, ...change }) : step));
  changed();
}

// Put a snapshot after those of a face, for work that ended while another face was shown. Nothing is
// forgotten, and what is shown stays, unless it is that face.
export function insert(a, change) {
  const isShown = now().a === a;
  const place = isShown ? at : steps.findLastIndex((step) => step.a === a);
  if (place < 0) return;
  const made = Object.freeze({ ...steps[place], ...change });
  steps = [...steps.slice(0, place + 1), made, ...steps.slice(place + 1)]; // the next commit shortens it
  if (isShown || place < at) at += 1;
  changed();
}

export function goTo(index) {
  if (index < 0 || index >= steps.length || index === at) return;
  at = index;
  moved();
}

export const undo = () => canUndo() && goTo(at - 1);
export const redo = () => canRedo() && goTo(at + 1);

// Begin with these snapshots instead: after a reload, or with none.
export function replace(kept = { steps: [START], at: 0 }) {
  ({ steps, at } = kept);
  moved();
}
