// One job's events, and what they add up to. The browser reconnects by itself and says where it was; only a connection that
// the server refused (signed out, restarted) is opened anew here, from the first event, with what was known put aside.

import * as api from "./api.js";

const NAMES = ["state", "progress", "front", "rate", "guide", "note"];
const ENDED = new Set(["done", "failed", "cancelled"]);
const PAUSE = 60; // milliseconds: a replay of a thousand events is a few redraws, not a thousand
const NOTES = 200;
const SILENCE = 2500; // milliseconds: a stream that is only renewed is no interruption

export const hasEnded = (state) => ENDED.has(state);

export const NOTHING_YET = { state: null, progress: null, front: null, rate: null, guide: null, notes: [] };

export function withEvent(seen, name, data) {
  if (name === "state") return { ...seen, state: data.state };
  if (name === "note") return { ...seen, notes: [...seen.notes.slice(1 - NOTES), data.text] };
  return { ...seen, [name]: data };
}

/**
 * Calls `tell({seen, connected, ended})` until the job has ended or the function returned is called. `over`: it had ended before,
 * so that the stream is read once, and may be empty where the server has forgotten the events.
 */
export function follow(id, over, tell) {
  let source = null;
  let timer = 0;
  let pending = 0;
  let silence = 0;
  let wait = 1000;
  let stopped = false;
  let seen = NOTHING_YET;
  let connected = true;

  function stop() {
    stopped = true;
    source?.close();
    clearTimeout(timer);
    clearTimeout(pending);
    clearTimeout(silence);
  }

  function report() {
    pending ||= setTimeout(() => {
      pending = 0;
      tell({ seen, connected, ended: false });
    }, PAUSE);
  }

  function receive(name, event) {
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      return; // one unreadable event is no reason to lose the others
    }
    seen = withEvent(seen, name, data);
    if (name === "state" && hasEnded(data.state)) {
      stop(); // the stream ends here, and the browser would open it again
      tell({ seen, connected: true, ended: true });
      api.changes.dispatchEvent(new Event("change"));
    } else report();
  }

  async function again() {
    try {
      await api.job(id); // asks for the token where that is what was missing
    } catch {
      wait = Math.min(wait * 2, 15000);
      if (!stopped) timer = setTimeout(again, wait);
      return;
    }
    if (!stopped) open();
  }

  function open() {
    source = new EventSource(api.eventsPath(id));
    let first = true;
    source.onopen = () => {
      if (first) seen = NOTHING_YET;
      first = false;
      wait = 1000;
      clearTimeout(silence);
      silence = 0;
      connected = true;
      report();
    };
    source.onerror = () => {
      if (over && !first) {
        source.close();
        return;
      }
      silence ||= setTimeout(() => {
        connected = false;
        report();
      }, SILENCE);
      if (source.readyState === EventSource.CLOSED && !stopped) {
        clearTimeout(timer);
        timer = setTimeout(again, wait);
      }
    };
    for (const name of NAMES) source.addEventListener(name, (event) => receive(name, event));
  }

  open();
  return stop;
}
