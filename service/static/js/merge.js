// Merge: the person of the first photo with the pose, hair and light of the second.

import { blobOf, post } from "./api.js";
import { once } from "./busy.js";
import * as notice from "./notice.js";
import * as stage from "./stage.js";
import * as state from "./state.js";

// Merging reads two pictures; an invented face or a result has its own. One photo cannot be told which
// face is meant in the other, so a face that is not the largest is sent as its crop.
const pictureOf = (face) => (face.photo && !face.isResult ? (face.index ? face.before : face.photo) : face.image);

let stop = new AbortController();

async function merge() {
  const { a, b } = state.now();
  stop.abort();
  const { signal } = stop = new AbortController();
  try {
    const fields = { identity: pictureOf(a), attribute: pictureOf(b), return: "image" };
    const answer = await stage.busy("Merging the two", () => post("merge", fields, { signal }));
    if (signal.aborted || state.now().a !== a || state.now().b !== b) return;
    notice.clear();
    const result = {
      tool: "merge", title: "Merged", image: blobOf(answer.image), latentId: answer.latent_id,
      timings: answer.timings_ms, sent: { path: "merge", faces: [["identity", a], ["attribute", b]], fields: {} },
    };
    state.commit({ result, title: result.title });
  } catch (error) {
    notice.show(error, mergeOnce);
  }
}

const mergeOnce = () => once(document.querySelector("#merge-go"), merge);

export function setUp() {
  document.querySelector("#merge-go").onclick = mergeOnce;
  state.onMove(() => stop.abort());
  stage.offerWhole("merge", {
    possible: ({ b }) => Boolean(b?.before && !b.isResult),
    make: async (_, { a, b }, signal) => {
      const fields = { identity: pictureOf(a), attribute: b.whole, face: b.index, output: "photo" };
      return { image: await post("merge", fields, { accept: "image/jpeg", signal }), before: b.whole };
    },
  });
}
