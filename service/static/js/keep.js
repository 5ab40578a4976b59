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

let database = null; // stays open, because a page that is left cannot wait for it

async function open() {
  const request = indexedDB.open("wplus", 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  database = await asPromise(request);
  database.onclose = () => { database = null; };
}

function tab() {
  const known = sessionStorage.getItem(KEY);
  const name = known ?? Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
  if (!known) sessionStorage.setItem(KEY, name);
  return name;
}

async function inStore(mode, work) {
  if (!database) await open();
  return work(database.transaction(STORE, mode).objectStore(STORE));
}

export function save({ steps, at }) {
  const first = Math.max(0, Math.min(at, steps.length - STEPS));
  const record = { time: Date.now(), steps: steps.slice(first, first + STEPS), at: at - first };
  return inStore("readwrite", (store) => {
    const put = asPromise(store.put(record, tab()));
    store.transaction.commit(); // at once: the page may be about to go
    return put;
  });
}

export async function load() {
  await inStore("readwrite", async (store) => {
    const [keys, records] = await Promise.all([asPromise(store.getAllKeys()), asPromise(store.getAll())]);
    const old = keys.filter((key, index) => key !== tab() && records[index].time < Date.now() - HOUR_MS);
    await Promise.all(old.map((key) => asPromise(store.delete(key))));
  });
  return inStore("readonly", (store) => asPromise(store.get(tab())));
}

export const forget = () => inStore("readwrite", (store) => asPromise(store.delete(tab())));
