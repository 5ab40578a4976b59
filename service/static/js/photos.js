// Photos in the browser: decoding, shrinking before upload, and cutting out the face.

const SEND_PX = 2560; // longest side of what is sent to be read; the networks look at 256 px of it
const SEND_BYTES = 3e6;
const WHOLE_PIXELS = 24e6; // the service puts faces back into photos of up to 25 megapixels
const WHOLE_BYTES = 18e6; // and takes files of 20 MB
const CROP_PX = 768;

// Decode a file as the browser shows it, upright; null if only the service can read it.
export const decode = (file) => createImageBitmap(file).catch(() => null);

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

const toBlob = (canvas, quality = 0.92) =>
  new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", quality); });

function scaled(bitmap, scale) {
  const canvas = canvasOf(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return toBlob(canvas);
}

// The copy that is sent to be read: small enough for a slow line.
export function smallCopy(file, bitmap) {
  const longest = Math.max(bitmap.width, bitmap.height);
  if (longest <= SEND_PX && file.size <= SEND_BYTES) return file;
  return scaled(bitmap, Math.min(1, SEND_PX / longest));
}

// The copy into which a face is put back: the file itself wherever the service takes it.
export function wholeCopy(file, bitmap) {
  const pixels = bitmap.width * bitmap.height;
  if (pixels <= WHOLE_PIXELS && file.size <= WHOLE_BYTES) return file;
  return scaled(bitmap, Math.min(1, Math.sqrt(WHOLE_PIXELS / pixels)));
}

// Cut out the square whose corners (top left, bottom left, bottom right, top right) are `quad`,
// in pixels of a photo of `width`.
export function crop(bitmap, quad, width) {
  const scale = bitmap.width / width;
  const [[x, y], down, , across] = quad.map((corner) => corner.map((value) => value * scale));
  const side = Math.min(CROP_PX, Math.max(256, Math.round(Math.hypot(across[0] - x, across[1] - y))));
  const canvas = canvasOf(side, side);
  const context = canvas.getContext("2d");
  context.fillStyle = "#808080";
  context.fillRect(0, 0, side, side);
  const [ux, uy, vx, vy] = [across[0] - x, across[1] - y, down[0] - x, down[1] - y].map((part) => part / side);
  const det = ux * vy - vx * uy;
  const [a, b, c, d] = [vy / det, -uy / det, -vx / det, ux / det];
  context.imageSmoothingQuality = "high";
  context.setTransform(a, b, c, d, -(a * x + c * y), -(b * x + d * y));
  context.drawImage(bitmap, 0, 0);
  return toBlob(canvas);
}

// A small picture of the face in a box (left, top, right, bottom), with some hair around it.
export function portrait(bitmap, [left, top, right, bottom], width) {
  const scale = bitmap.width / width;
  const side = (right - left) * scale * 1.5;
  const x = ((left + right) / 2) * scale - side / 2;
  const y = ((top + bottom) / 2) * scale - side * 0.56;
  const canvas = canvasOf(112, 112);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, x, y, side, side, 0, 0, 112, 112);
  return toBlob(canvas, 0.85);
}

const urls = new WeakMap();
const registry = new FinalizationRegistry((url) => URL.revokeObjectURL(url));

// The address of a blob, the same each time; it is given up with the blob.
export function urlOf(blob) {
  if (!urls.has(blob)) {
    const url = URL.createObjectURL(blob);
    urls.set(blob, url);
    registry.register(blob, url);
  }
  return urls.get(blob);
}
