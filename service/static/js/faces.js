// Faces: from a photo, a saved code or chance; and read again when the service has forgotten them.
//
// A face has a latent id, its image, and what it came from: the photo with the crop and the faces
// found in it, or a seed. `origin` is what it is read from again.

import { Problem, blobOf, post } from "./api.js";
import { directions } from "./directions.js";
import { crop, decode, portrait, smallCopy, wholeCopy } from "./photos.js";

const CODE_FILE = /\.(npy|npz|safetensors)$/i;
const SEEDS = 2 ** 32;

export const isCode = (file) => CODE_FILE.test(file.name ?? "");
export const isPicture = (file) => file.type.startsWith("image/") || /\.(heic|heif|avif|tiff?)$/i.test(file.name ?? "");

// Read the face with the rank `index` (the largest is 0) off a photo.
export async function readPhoto(file, { index = 0, name = "your photo", signal } = {}) {
  if (!isPicture(file)) throw new Problem("not-a-picture");
  const bitmap = await decode(file);
  const photo = bitmap ? await smallCopy(file, bitmap) : file;
  const answer = await post("embed", { image: photo, face: index, return: "image", quality: false }, { signal });
  const { face } = answer;
  const size = bitmap && (photo === file ? bitmap : await decode(photo));
  const boxes = answer.faces ?? [face];
  const [before, whole, faces] = await Promise.all([
    bitmap && face ? crop(bitmap, face.quad, size.width) : null,
    bitmap ? wholeCopy(file, bitmap) : file,
    Promise.all(boxes.map(async ({ index: rank, box }) => ({
      index: rank,
      picture: bitmap ? await portrait(bitmap, box, size.width) : null,
    }))),
  ]);
  return {
    name, photo, whole, index, faces, before, count: face.count, quad: face.quad, origin: photo,
    latentId: answer.latent_id, image: blobOf(answer.image), quality: null, timings: answer.timings_ms,
  };
}

const generated = (answer, rest) => ({
  photo: null, whole: null, index: 0, faces: [], before: null, count: 1, quality: null, timings: answer.timings_ms,
  latentId: answer.latent_id, image: blobOf(answer.image), ...rest,
});

export async function invent({ seed = Math.floor(Math.random() * SEEDS), signal } = {}) {
  const answer = await post("generate", { seed, return: "image" }, { signal });
  return generated(answer, { name: "an invented face", seed, origin: null });
}

export async function readCode(file, { signal } = {}) {
  const answer = await post("generate", { code: file, return: "image" }, { signal });
  return generated(answer, { name: "a saved face", origin: file });
}

// Ask for the figures that a face was drawn without, to be sooner.
export async function measure(face) {
  if (face.quality || !face.photo || face.isResult) return;
  ({ quality: face.quality } = await post("quality", { image: face.photo, face: face.index, latent_id: face.latentId }));
}

const renewals = new WeakMap(); // those under way, by face

function renew(face) {
  if (!renewals.has(face)) renewals.set(face, readAgain(face).finally(() => renewals.delete(face)));
  return renewals.get(face);
}

// Read a face again whose latent id has expired. A result that was made the start is read off its own image.
async function readAgain(face) {
  let fresh;
  if (face.seed !== undefined) fresh = await post("generate", { seed: face.seed, return: "code" });
  else if (isCode(face.origin)) fresh = await post("generate", { code: face.origin, return: "code" });
  else {
    const how = face.isResult ? { align: "none" } : { face: face.index };
    fresh = await post("embed", { image: face.origin, ...how, quality: false });
  }
  face.latentId = fresh.latent_id;
}

// Run `work`, which uses the latent ids of `faces`; if one has expired, read the faces again and repeat it.
export async function withFaces(faces, work) {
  try {
    return await work();
  } catch (error) {
    if (error.code !== "unknown-latent") throw error;
    await Promise.all(faces.map(renew));
    return work();
  }
}

// Put a result back into the whole photo of the face that it was made from: an edit that moves nothing.
export async function putBack(a, result, signal) {
  const [{ name }] = await directions();
  const face = Object.assign(result, { isResult: true, origin: result.image });
  const fields = () => ({ latent_id: face.latentId, directions: `${name}:0`, photo: a.whole, face: a.index, output: "photo" });
  return withFaces([face], () => post("edit", fields(), { accept: "image/jpeg", signal }));
}

// A result as the face to go on from; the photo that it came from stays with it.
export const asFace = (a, result) => ({
  ...a, name: result.title, latentId: result.latentId, image: result.image, isResult: true, seed: undefined,
  job: undefined, origin: result.image, quality: null, timings: result.timings,
});

export const sample = async (address) => (await fetch(address)).blob();
export const codeOf = (latentId, type) => post("generate", { latent_id: latentId }, { accept: type });
