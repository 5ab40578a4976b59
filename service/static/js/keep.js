// Keeps the work of a tab over a reload: pictures in IndexedDB, under the tab's name in sessionStorage.
//
// Records of other tabs go after an hour, which is also how long the service remembers faces.

const HOUR_MS = 3600e3;
const STEPS = 10; // snapshots that are kept
const STORE = "tabs";
const KEY = "wplus-tab";

const asPromise = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function open() {
  const request = indexedDB.open("wplus", 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  return asPromise(request);
}

function tab() {
  const known = sessionStorage.getItem(KEY);
  const name = known ?? Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
  if (!known) sessionStorage.setItem(KEY, name);
  return name;
}

async function inStore(mode, work) {
  const database = await open();
  try {
    return await work(database.transaction(STORE, mode).objectStore(STORE));
  } finally {
    database.close();
  }
}

export function save({ steps, at }) {
  const first = Math.max(0, Math.min(at, steps.length - STEPS));
  const record = { time: Date.now(), steps: steps.slice(first, first + STEPS), at: at - first };
  return inStore("readwrite", (store) => asPromise(store.put(record, tab())));
}

export async function load() {
  await inStore("readwrite", async (store) => {
    const [keys, records] = await Promise.all([asPromise(store.getAllKeys()), asPromise(store.getAll())]);
    const old = keys.filter((_, index) => records[index].time < Date.now() - HOUR_MS);
    await Promise.all(old.map((key) => asPromise(store.delete(key))));
  });
  return inStore("readonly", (store) => asPromise(store.get(tab())));
}

export const forget = () => inStore("readwrite", (store) => asPromise(store.delete(tab())));
