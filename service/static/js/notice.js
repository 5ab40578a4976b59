// What went wrong, in one place on the page, until it is closed or something else is done.

import { isAbort } from "./api.js";
import { mayPass, textOf } from "./words.js";

const box = document.querySelector("#notice");

function button(text, action) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", className: "button small", textContent: text, onclick: action });
  return made;
}

export function clear() {
  box.replaceChildren();
}

// Show an error, with a way to repeat what failed where that may help.
export function show(error, again) {
  if (isAbort(error)) return;
  if (error.code === undefined) console.error(error);
  const text = document.createElement("p");
  text.textContent = textOf(error);
  const buttons = again && mayPass(error) ? [button("Try again", () => { clear(); again(); })] : [];
  box.replaceChildren(text, ...buttons, button("Close", clear));
}
