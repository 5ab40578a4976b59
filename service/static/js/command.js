// The call of the service that gives the picture shown, for a command line.
//
// A result keeps what was `sent` for it: the path, its faces by the field that named them, and the
// other fields. A latent id is of no use elsewhere, so a face is named by the file that it came from.

const NONE = "No single command gives this picture: a face in it did not come straight from a photo or a file.";
const FILES = ["photo", "second"];

const sentFor = ({ a, result }) => {
  if (result) return result.sent;
  if (a.seed !== undefined) return { path: "generate", faces: [], fields: { seed: a.seed } };
  return { path: a.photo ? "embed" : "generate", faces: [["latent_id", a]], fields: {} };
};

// The field that names a face by its file; undefined if it has none.
function fieldOf(name, face, file) {
  if (face.derived || (face.isResult && name !== "image")) return undefined; // "image" is always the photo
  if (face.photo) return `-F ${name === "latent_id" ? "image" : name}=@${file}.jpg`;
  if (!face.origin || name === "identity" || name === "attribute") return undefined; // those are pictures
  const ending = face.origin.name?.match(/\.\w+$/)?.[0] ?? ".npy";
  return `-F ${name === "latent_id" ? "code" : name}=@${file}${ending.toLowerCase()}`;
}

export function commandOf(snapshot, { origin }) {
  const sent = sentFor(snapshot);
  if (!sent) return NONE;
  const { path, faces, fields, accept = "image/jpeg" } = sent;
  const sources = faces.map(([name, face], place) => fieldOf(name, face, FILES[place]));
  const ranks = new Set(faces.filter(([, face]) => face.photo).map(([, face]) => face.index));
  const [rank] = ranks;
  // One number chooses the face of every photo sent, and a merge takes the largest of each.
  if (sources.includes(undefined) || ranks.size > 1 || (rank && path === "merge")) return NONE;
  const others = Object.entries({ ...(rank && { face: rank }), ...fields }).map(([name, value]) => `-F ${name}=${value}`);
  const words = ["curl --fail-with-body", ...sources, ...others];
  if (path === "refine") return [...words, `${origin}/refine`].join(" ");
  return [...words, `-H 'Accept: ${accept}'`, `${origin}/${path}`, `-o face.${accept === "image/webp" ? "webp" : "jpg"}`].join(" ");
}
