// The directions that the service can move a face in, with their titles, units and safe ranges.

import { get } from "./api.js";

let asked;

export function directions() {
  asked ??= get("directions").then((answer) => answer.directions, (error) => { asked = undefined; throw error; });
  return asked;
}
