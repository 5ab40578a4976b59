// A picture that follows its settings: quick previews while they change, the full picture when they rest.

import { isAbort } from "./api.js";
import * as stage from "./stage.js";
import * as state from "./state.js";

const REST_MS = 280;

// `preview` and `full` take a signal, which aborts when their picture is no longer wanted.
// At most one preview is asked for at a time, always of the newest settings.
export function live({ preview, full, failed }) {
  let previewing = false;
  let wanted = false;
  let timer;
  let previewStop = new AbortController();
  let fullStop = new AbortController();

  async function previews() {
    previewing = true;
    while (wanted) {
      wanted = false;
      try {
        await preview(previewStop.signal);
      } catch {
        break; // the full picture says what is wrong
      }
    }
    previewing = false;
  }

  function halt() {
    clearTimeout(timer);
    wanted = false;
    previewStop.abort();
    fullStop.abort();
    previewStop = new AbortController();
    fullStop = new AbortController();
  }

  async function rest() {
    halt();
    const { signal } = fullStop;
    try {
      await full(signal);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      halt();
      stage.goBack();
      failed(error, rest);
    }
  }

  state.onMove(halt);
  return {
    changed() {
      clearTimeout(timer);
      timer = setTimeout(rest, REST_MS);
      fullStop.abort();
      wanted = true;
      if (!previewing) previews();
    },
    rest,
    halt,
  };
}
