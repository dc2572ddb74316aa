// A function tried on numbers: a row for each try, and its value or what is wrong with it in the same row.

import { html } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { exact } from "../format.js";
import { useKept } from "../kept.js";
import { useAction } from "../loading.js";
import { Problem } from "../parts.js";

const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const MOST_FIELDS = 6;

/** The text as JSON writes numbers, or null; a comma may be a decimal point, since columns have fields of their own. */
function literal(text) {
  const given = text.trim().replace(/\u2212/g, "-").replace(/^([^,]*),([^,]*)$/, "$1.$2");
  if (!NUMBER.test(given) || !Number.isFinite(Number(given))) return null;
  return /^-?(0|[1-9]\d*)(\.\d+)?(e[-+]?\d+)?$/i.test(given) ? given : String(Number(given));
}

function cellsOf(row, free) {
  const texts = free ? row[0].split(/[\s;]+|,\s*/).filter(Boolean) : row;
  return texts.map(literal);
}

export function Try({ fn }) {
  const free = fn.arity === null || fn.arity > MOST_FIELDS;
  const width = free ? 1 : fn.arity;
  const blank = () => Array(width).fill("");
  const [{ rows }, change] = useKept(`try:${fn.name}:${width}`, { rows: [blank()] });
  const [answers, setAnswers] = useKept(`tried:${fn.name}:${width}`, { rows: [] });
  const [run, busy, problem] = useAction(async () => {
    const wrong = rows.map((row) => cellsOf(row, free).includes(null) && "An input is missing or is not a number.");
    const asked = rows.map((_, i) => i).filter((i) => !wrong[i]);
    const told = rows.map((_, i) => (wrong[i] ? { wrong: wrong[i] } : {}));
    if (asked.length) {
      const answer = await api.predict(fn.name, asked.map((i) => cellsOf(rows[i], free)));
      answer.outputs.forEach((value, k) => {
        told[asked[k]] = value === null ? { wrong: "It has no value here." } : { value: exact(value) };
      });
      for (const { row, detail } of answer.errors ?? []) if (asked[row] !== undefined) told[asked[row]] = { wrong: detail };
    }
    setAnswers({ rows: told });
  });
  const type = (r, c) => (event) => {
    change({ rows: rows.map((row, i) => (i === r ? row.map((cell, j) => (j === c ? event.currentTarget.value : cell)) : row)) });
    setAnswers({ rows: answers.rows.map((a, i) => (i === r ? {} : a)) });
  };
  const submit = (event) => {
    event.preventDefault();
    run();
  };
  const drop = (r) => {
    change({ rows: rows.filter((_, i) => i !== r) });
    setAnswers({ rows: answers.rows.filter((_, i) => i !== r) });
  };
  return html`<h3 id="try-title">Try it on numbers</h3>
    <form class="try" onSubmit=${submit} aria-labelledby="try-title">
      ${free && html`<p class="hint">The inputs of one try in one line, with spaces between them.</p>`}
      ${rows.map(
        (row, r) => html`<div class="try-row" key=${r} role="group" aria-label=${`Try ${r + 1}`}>
          ${row.map((cell, c) => html`<input inputmode=${free ? undefined : "decimal"} class=${free ? "" : "narrow"} autocomplete="off"
            aria-label=${free ? "Inputs" : `Input ${c + 1}`} placeholder=${free ? "1 2 3" : `input ${c + 1}`} value=${cell} onInput=${type(r, c)} />`)}
          ${rows.length > 1 && html`<button type="button" class="quiet" aria-label=${`Remove try ${r + 1}`} onClick=${() => drop(r)}>×</button>`}
          <output class=${answers.rows[r]?.wrong ? "wrong" : "value"}>${answers.rows[r]?.wrong ?? (answers.rows[r]?.value !== undefined ? `= ${answers.rows[r].value}` : "")}</output>
        </div>`,
      )}
      <${Problem} problem=${problem} />
      <div class="buttons">
        <button class="primary" disabled=${busy}>Compute</button>
        <button type="button" class="quiet" onClick=${() => change({ rows: [...rows, blank()] })}>Another row</button>
      </div>
    </form>`;
}
