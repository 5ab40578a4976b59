// The tools as tabs: arrows move between them, as readers of a screen expect.

import * as state from "./state.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
const toolOf = (tab) => tab.getAttribute("aria-controls");
const WITH_SECOND = ["blend", "colour", "merge"];

const openers = new Map();

// Call `run` when the visitor opens this tool.
export const onOpen = (tool, run) => openers.set(tool, run);

function open(tab) {
  const tool = toolOf(tab);
  tab.focus();
  if (tool === state.now().tool) return;
  state.amend({ tool });
  openers.get(tool)?.();
}

function show({ tool, b }) {
  for (const tab of tabs) {
    const isOpen = toolOf(tab) === tool;
    tab.setAttribute("aria-selected", String(isOpen));
    tab.tabIndex = isOpen ? 0 : -1;
    document.getElementById(toolOf(tab)).hidden = !isOpen;
  }
  document.querySelector("#second").hidden = !WITH_SECOND.includes(tool);
  for (const part of document.querySelectorAll(".needs-second")) part.hidden = !b;
}

export function setUp() {
  tabs.forEach((tab, index) => {
    tab.onclick = () => open(tab);
    tab.onkeydown = (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault(); // the page would scroll too
      open(tabs.at(to % tabs.length));
    };
  });
  state.onChange(show);
}
