// What this service can do beyond the basics, read off its own description.

import { get } from "./api.js";

let found;

export function abilities() {
  found ??= ask().catch((error) => { found = undefined; throw error; });
  return found;
}

async function ask() {
  const { components, paths } = await get("openapi.json");
  const has = (model, option) => option in (components.schemas[model]?.properties ?? {});
  return {
    several: has("EditBody", "directions"),
    whole: has("EditBody", "output") && has("EditBody", "photo"),
    wholeColour: has("ColorizeBody", "output"),
    wholeMerge: has("MergeBody", "output"),
    ranges: "/directions" in paths,
  };
}

// The directions with their ranges; names alone where the service knows no more.
export async function directions() {
  if ((await abilities()).ranges) return (await get("directions")).directions;
  const { directions: names } = await get("version");
  return names.map((name) => ({ name, title: name, unit: "", safe: [-3, 3], description: "" }));
}
