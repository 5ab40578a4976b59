// Calls to the service. An answer that is an error becomes a Problem, whose code words.js explains.

export class Problem extends Error {
  constructor(code, { status = 0, detail = "", requestId = "" } = {}) {
    super(detail || code);
    Object.assign(this, { code, status, detail, requestId });
  }
}

const RETRY_MS = 1500;
const listeners = new Set();
const keyField = document.querySelector("#key");

// The key, if the service requires one, is kept in its field and nowhere else.
const authorization = () => (keyField.value ? { Authorization: `Bearer ${keyField.value}` } : {});

// Called with "offline", "starting" or "unauthorized" when an answer shows that.
export const onTrouble = (listener) => listeners.add(listener);
const tell = (trouble) => listeners.forEach((listener) => listener(trouble));

export const isAbort = (error) => error.name === "AbortError";

async function problemOf(answer) {
  const body = await answer.json().catch(() => ({}));
  const requestId = body.request_id ?? answer.headers.get("x-request-id") ?? "";
  return new Problem(body.code ?? "internal", { status: answer.status, detail: body.detail ?? "", requestId });
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => { clearTimeout(timer); reject(new DOMException("stopped", "AbortError")); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

// Send a request; wait while the service is still loading its networks.
async function send(path, options) {
  for (;;) {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch (error) {
      if (isAbort(error)) throw error;
      tell("offline");
      throw new Problem("offline");
    }
    if (answer.ok) return answer;
    const problem = await problemOf(answer);
    if (problem.code === "unauthorized") tell("unauthorized");
    if (problem.code !== "not-ready") throw problem;
    tell("starting");
    await pause(RETRY_MS, options.signal);
  }
}

const read = (answer) =>
  answer.headers.get("content-type")?.startsWith("application/json") ? answer.json() : answer.blob();

export async function get(path, { accept = "application/json", signal } = {}) {
  return read(await send(path, { headers: { Accept: accept, ...authorization() }, signal }));
}

export async function remove(path) {
  return read(await send(path, { method: "DELETE", headers: authorization() }));
}

// Post a form. `fields` is an object, or pairs where a name is repeated; null and undefined are left out.
// What is sent again with the same `key` is done once.
export async function post(path, fields, { accept = "application/json", signal, key } = {}) {
  const form = new FormData();
  const pairs = Array.isArray(fields) ? fields : Object.entries(fields);
  for (const [name, value] of pairs) {
    if (value !== undefined && value !== null) form.append(name, value);
  }
  const headers = { Accept: accept, ...authorization(), ...(key && { "Idempotency-Key": key }) };
  return read(await send(path, { method: "POST", headers, body: form, signal }));
}

// A name that nothing else has; crypto.randomUUID is missing where the page is not served by HTTPS.
export const newName = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");

// The image of a JSON answer, which is base64, as a blob.
export function blobOf(image) {
  const text = atob(image.data);
  return new Blob([Uint8Array.from(text, (letter) => letter.charCodeAt(0))], { type: image.media_type });
}
