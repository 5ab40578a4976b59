// Says in words what is going on, and for how long once that is felt.

const SHOWN_AFTER_S = 2;

const underWay = new WeakMap(); // what each box has to say, the newest last

function show(box) {
  const all = underWay.get(box);
  box.hidden = !all.length;
  box.replaceChildren(...(all.at(-1) ?? []));
}

// Show `words` in `box` until `work` ends. The newest work of a box is the one that it speaks of.
export async function during(box, words, work) {
  const text = document.createElement("span");
  const time = document.createElement("span");
  time.setAttribute("aria-hidden", "true"); // not to be read out every second
  text.textContent = words;
  const parts = [text, time];
  underWay.set(box, [...(underWay.get(box) ?? []), parts]);
  show(box);
  const started = performance.now();
  const clock = setInterval(() => {
    const seconds = Math.round((performance.now() - started) / 1000);
    if (seconds >= SHOWN_AFTER_S) time.textContent = ` ${seconds} s`;
  }, 500);
  try {
    return await work();
  } finally {
    clearInterval(clock);
    underWay.set(box, underWay.get(box).filter((each) => each !== parts));
    show(box);
  }
}

// Run `work` with its button out of use, so that a second click does not begin it again.
export async function once(button, work) {
  if (button.disabled) return;
  const wasIn = document.activeElement === button;
  button.disabled = true;
  try {
    await work();
  } finally {
    button.disabled = false;
    if (wasIn && [button, document.body].includes(document.activeElement)) button.focus();
  }
}
