// What a formula search can be asked for. Nothing but the seconds has to be looked at: the rest is folded away.

import { html } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { useKept } from "../kept.js";
import { useAction } from "../loading.js";
import { detailFor, Field, Problem } from "../parts.js";
import { go, routeTo } from "../routes.js";

const OPERATIONS = [
  ["Arithmetic", [["ADD", "+"], ["SUB", "−"], ["MUL", "×"], ["DIV", "÷"], ["NEG", "−x"], ["INV", "1/x"]]],
  ["Powers", [["SQUARE", "x²"], ["CUBE", "x³"], ["SQRT", "√x"], ["POW", "xʸ"], ["EXP", "exp"], ["LOG", "ln"]]],
  ["Angles", [["SIN", "sin"], ["COS", "cos"], ["TAN", "tan"], ["ASIN", "arcsin"], ["ACOS", "arccos"], ["ATAN", "arctan"], ["TANH", "tanh"]]],
  ["Only if asked for", [["ABS", "|x|"], ["SINH", "sinh"], ["COSH", "cosh"], ["MIN", "min"], ["MAX", "max"]]],
];
const ASKED_FOR = new Set(OPERATIONS.at(-1)[1].map(([name]) => name));
const USUAL = OPERATIONS.flatMap(([, all]) => all.map(([name]) => name)).filter((name) => !ASKED_FOR.has(name));
const LOSSES = { squared: "squared error", huber: "Huber: a few rows may be off", cauchy: "Cauchy: some rows may be far off" };

export const FIT_START = { seconds: "20", complexity: "", operations: null, units: {}, useUnits: false, loss: "squared", seed: "0", useLibrary: true, open: false };
export const fitKey = (datasetName) => `fit:${datasetName}`;

/** The form as it was when `spec` was asked, so that a search can be asked for again with a change. */
export function fieldsOf(spec) {
  return {
    ...FIT_START,
    seconds: String(spec.max_time ?? 30),
    complexity: spec.max_complexity ? String(spec.max_complexity) : "",
    operations: spec.operations ?? null,
    units: spec.units ?? {},
    useUnits: Boolean(spec.units),
    loss: spec.loss ?? "squared",
    seed: String(spec.seed ?? 0),
    useLibrary: spec.use_library ?? true,
  };
}

function specOf(fields, data, target, columns) {
  const spec = {
    dataset_name: data.name,
    target,
    max_time: Number(fields.seconds),
    seed: Number(fields.seed),
    loss: fields.loss,
    use_library: fields.useLibrary,
  };
  if (fields.complexity) spec.max_complexity = Number(fields.complexity);
  if (fields.operations) spec.operations = fields.operations;
  // Every column needs one: a column left empty is a plain number.
  if (fields.useUnits) spec.units = Object.fromEntries(columns.map((c) => [c, (fields.units[c] ?? "").trim()]));
  return spec;
}

export function FitForm({ data, target, inputs }) {
  const [fields, change] = useKept(fitKey(data.name), FIT_START);
  const columns = [...inputs, target];
  const [start, busy, problem] = useAction(async () => {
    const job = await api.fit(specOf(fields, data, target, columns));
    go(routeTo("jobs", job.id));
  });
  const submit = (event) => {
    event.preventDefault();
    start();
  };
  const typed = (name) => (event) => change({ [name]: event.currentTarget.value });
  return html`<form onSubmit=${submit} onInvalidCapture=${() => change({ open: true })}>
    <p>Looks for the law behind <strong>${target}</strong>: the formula itself where the numbers hide one, the best trade of simplicity and error where they are noisy.</p>
    <${Field} label="Seconds to search, at most" wrong=${detailFor(problem, "max_time")} hint="It ends earlier where nothing is left to gain, and can be stopped at any time.">
      ${(a) => html`<input ...${a} class="narrow" type="number" min="0.1" step="any" required inputmode="decimal" value=${fields.seconds} onInput=${typed("seconds")} />`}
    <//>
    <details open=${fields.open} onToggle=${(e) => e.currentTarget.open !== fields.open && change({ open: e.currentTarget.open })}>
      <summary>More: complexity, operations, units</summary>
      <div class="columns">
        <${Field} label="Most complexity" wrong=${detailFor(problem, "max_complexity")} hint="Columns, numbers and operations of a formula. Empty: no limit.">
          ${(a) => html`<input ...${a} class="narrow" type="number" min="1" step="1" value=${fields.complexity} onInput=${typed("complexity")} />`}
        <//>
        <${Field} label="What counts as error" wrong=${detailFor(problem, "loss")}>
          ${(a) => html`<select ...${a} value=${fields.loss} onChange=${typed("loss")}>
            ${Object.entries(LOSSES).map(([value, label]) => html`<option value=${value} selected=${value === fields.loss}>${label}</option>`)}
          </select>`}
        <//>
        <${Field} label="Seed" wrong=${detailFor(problem, "seed")} hint="Draws which rows are held out.">
          ${(a) => html`<input ...${a} class="narrow" type="number" min="0" step="1" required value=${fields.seed} onInput=${typed("seed")} />`}
        <//>
      </div>
      <label class="check"><input type="checkbox" checked=${fields.useLibrary} onChange=${(e) => change({ useLibrary: e.currentTarget.checked })} /> Use functions of the library</label>
      <${Operations} chosen=${fields.operations} wrong=${detailFor(problem, "operations")} onChange=${(operations) => change({ operations })} />
      <${Units} columns=${columns} target=${target} fields=${fields} change=${change} problem=${problem} />
    </details>
    <${Problem} problem=${problem} />
    <button class="primary" disabled=${busy}>${busy ? "Starting …" : "Find a formula"}</button>
  </form>`;
}

function Operations({ chosen, wrong, onChange }) {
  const allowed = new Set(chosen ?? USUAL);
  const toggle = (name) => {
    if (allowed.has(name)) allowed.delete(name);
    else allowed.add(name);
    const now = [...allowed];
    const usual = now.length === USUAL.length && now.every((n) => !ASKED_FOR.has(n));
    onChange(usual ? null : now);
  };
  return html`<fieldset>
    <legend>Operations a formula may have</legend>
    ${OPERATIONS.map(
      ([group, all]) => html`<div class="chips" role="group" aria-label=${group}>
        <span class="chips-title">${group}</span>
        ${all.map(
          ([name, sign]) => html`<label class="chip"><input type="checkbox" value=${name} checked=${allowed.has(name)} aria-label=${name} onChange=${() => toggle(name)} /><span>${sign}</span></label>`,
        )}
      </div>`,
    )}
    ${wrong && html`<p class="wrong">${wrong}</p>`}
    ${chosen && html`<button type="button" class="quiet" onClick=${() => onChange(null)}>The usual ones</button>`}
  </fieldset>`;
}

function Units({ columns, target, fields, change, problem }) {
  const give = (column) => (event) => change({ units: { ...fields.units, [column]: event.currentTarget.value } });
  return html`<fieldset>
    <legend>Units</legend>
    <label class="check"><input type="checkbox" checked=${fields.useUnits} onChange=${(e) => change({ useUnits: e.currentTarget.checked })} /> The columns have units, and formulas must respect them</label>
    ${fields.useUnits &&
    html`<p class="hint">Such as kg, m/s or J. Empty: a plain number.</p>
      <div class="columns units">
        ${columns.map(
          (column) => html`<${Field} key=${column} label=${column === target ? `${column} (target)` : column}>
            ${(a) => html`<input ...${a} value=${fields.units[column] ?? ""} spellcheck="false" autocapitalize="off" onInput=${give(column)} />`}
          <//>`,
        )}
      </div>`}
    ${detailFor(problem, "units") && html`<p class="wrong">${detailFor(problem, "units")}</p>`}
  </fieldset>`;
}
