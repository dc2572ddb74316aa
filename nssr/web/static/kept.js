// What was typed and not sent yet outlives a reload, in this tab alone. Where the browser keeps nothing, nothing is kept.

import { useState } from "./vendor/preact-htm.js";

const PREFIX = "nssr:";
const LARGEST = 200000;

export function keptValue(key, otherwise) {
  try {
    const text = sessionStorage.getItem(PREFIX + key);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

export function keepValue(key, value) {
  try {
    const text = JSON.stringify(value);
    if (text.length <= LARGEST) sessionStorage.setItem(PREFIX + key, text);
  } catch {
    // a full or forbidden storage: the value is still in the form
  }
}

/** State of a form, with the fields that `initial` has; one object, changed by parts. */
export function useKept(key, initial) {
  const [held, setHeld] = useState({ key, value: { ...initial, ...keptValue(key, {}) } });
  const value = held.key === key ? held.value : { ...initial, ...keptValue(key, {}) };
  const change = (changes) => {
    setHeld((before) => {
      const base = before.key === key ? before.value : value;
      const next = { ...base, ...changes };
      keepValue(key, next);
      return { key, value: next };
    });
  };
  return [value, change];
}
