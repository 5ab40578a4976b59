// What the page says, in words for people who have never heard of the service.

const TEXTS = {
  offline: "The service cannot be reached. Check that it is running and that you are connected; your work is still here.",
  "no-face": "No face was found in this picture. Try one where the face is larger, well lit and turned towards the camera.",
  "too-large": "The file is too large to send. Save a smaller copy of the photo and try that.",
  "too-many-pixels": "The photo has too many pixels. Save a smaller copy and try that.",
  "image-too-small": "The picture is too small to find a face in. Use one that is at least a few hundred pixels wide.",
  "unsupported-image": "This kind of file cannot be read. Use a JPEG, PNG or WebP. On an iPhone: Settings, Camera, Formats, Most Compatible.",
  "broken-image": "The file is damaged or was cut off. Open it on your device and save it again.",
  "image-rejected": "The picture cannot be used. Try another one.",
  "invalid-code": "This file does not hold the description of a face. Use an .npy or .safetensors file that was saved here.",
  "model-mismatch": "The file was made for another generator and cannot be used with this one.",
  "unknown-latent": "The service no longer remembers this face. Choose the photo again.",
  "unknown-job": "The service no longer knows this refinement. Start it again.",
  "no-result": "The refinement stopped before it had anything to show.",
  "job-queue-full": "Many refinements are waiting already. Try again in a few minutes.",
  "jobs-unavailable": "This service cannot refine at the moment. Everything else works.",
  unauthorized: "This service needs a key. Enter it at the top of the page, then try again.",
  "rate-limited": "That was a lot at once. Wait a moment, then try again.",
  overloaded: "The service is busy with other people's pictures. Try again in a moment.",
  draining: "The service is restarting. Try again in a moment.",
  "engine-down": "The service has lost its graphics engine and needs a restart. Tell whoever runs it.",
  deadline: "That took too long, because the service is busy. Try again in a moment.",
  "upload-timeout": "The photo took too long to send. Check your connection, then try again.",
  "not-a-picture": "That is not a picture. Drop a photo, or an .npy or .safetensors file that was saved here.",
  "no-file": "Nothing that can be used was dropped. Save the picture to your device first, then drop the file.",
};

export function textOf(problem) {
  const known = TEXTS[problem.code];
  if (known) return known;
  const id = problem.requestId ? ` Number for its log: ${problem.requestId}.` : "";
  return `Something went wrong in the service. Try again; if it happens again, tell whoever runs it.${id}`;
}

// Whether trying the same thing again may help.
export const mayPass = (problem) =>
  ["offline", "overloaded", "draining", "deadline", "rate-limited", "upload-timeout"].includes(problem.code);

// How close the reconstruction is to the photo, from the figures of `quality`.
export function likeness({ lpips, same_person: same }) {
  const close = lpips < 0.08 ? "Very close to the photo" : lpips < 0.16 ? "Close to the photo"
    : lpips < 0.28 ? "Fairly close to the photo" : "Only loosely like the photo";
  if (same === null || same === undefined) return `${close}.`;
  const judge = same ? "an outside judge sees the same person" : "an outside judge would not say it is the same person";
  return `${close}; ${judge}.`;
}

export function duration(seconds) {
  if (seconds < 8) return "a few seconds";
  if (seconds < 55) return `about ${Math.round(seconds / 5) * 5} seconds`;
  const minutes = Math.round(seconds / 60);
  if (minutes <= 1) return "about a minute";
  return minutes < 90 ? `about ${minutes} minutes` : `about ${Math.round(minutes / 60)} hours`;
}

export function signed(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  return value > 0 ? `+${text}` : value < 0 ? `\u2212${text}` : text;
}
