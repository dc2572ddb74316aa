// What a view fetches, with the three things that can be shown for it: not there yet, refused, there.

import { useCallback, useEffect, useRef, useState } from "./vendor/preact-htm.js";

/** `{data, problem, reload, set}`. Old data stay on show while they are fetched again; a late answer to an old question is dropped. */
export function useLoad(load, needs) {
  const [shown, setShown] = useState({ data: null, problem: null, needs: null });
  const turn = useRef(0);
  const reload = useCallback(async () => {
    const mine = ++turn.current;
    try {
      const data = await load();
      if (mine === turn.current) setShown({ data, problem: null, needs });
    } catch (problem) {
      if (mine === turn.current) setShown((before) => ({ data: same(before.needs, needs) ? before.data : null, problem, needs }));
    }
  }, needs);
  useEffect(() => {
    reload();
    return () => {
      turn.current++;
    };
  }, [reload]);
  const set = useCallback((change) => setShown((before) => ({ ...before, data: change(before.data) })), []);
  const current = same(shown.needs, needs);
  return { data: current ? shown.data : null, problem: current ? shown.problem : null, reload, set };
}

const same = (a, b) => a !== null && a.length === b.length && a.every((value, index) => value === b[index]);

/** One request at a time, its refusal kept for showing: `[run, busy, problem, forget]`. */
export function useAction(act) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const running = useRef(false);
  async function run(...given) {
    if (running.current) return undefined;
    running.current = true;
    setBusy(true);
    setProblem(null);
    try {
      return await act(...given);
    } catch (refused) {
      if (refused.name !== "AbortError") setProblem(refused);
      return undefined;
    } finally {
      running.current = false;
      setBusy(false);
    }
  }
  return [run, busy, problem, () => setProblem(null)];
}
