// From a table to a job: the table, its target, what to ask of it.

import { html, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { count, number, plural } from "../format.js";
import { keepValue, keptValue } from "../kept.js";
import { useAction, useLoad } from "../loading.js";
import { Field, Loading, Problem, Title } from "../parts.js";
import { go, replaceRoute, routeTo } from "../routes.js";
import { FitForm } from "./fit_form.js";
import { TableSource } from "./table_source.js";
import { TrainForm } from "./train_form.js";

const TASKS = [
  ["fit", "Find a formula"],
  ["train", "Learn a function"],
  ["eval", "Ask the library"],
];

export function New({ dataset, task }) {
  const choose = (name) => go(routeTo("new", "", { dataset: name, ...(task === "fit" ? {} : { task }) }));
  if (!dataset) {
    return html`<${Title}>Which table?<//>
      <p class="lead">NSSR looks for the formula, or the small program, that gives one column of a table from the others.</p>
      <${TableSource} onChosen=${choose} />`;
  }
  return html`<${Chosen} key=${dataset} name=${dataset} task=${task} />`;
}

function Chosen({ name, task }) {
  const { data, problem, reload } = useLoad(() => api.dataset(name, 20), [name]);
  const other = html`<a class="button quiet" href=${routeTo("new")}>Another table</a>`;
  if (problem) {
    return html`<${Title} aside=${other}>Table ${name}<//><${Problem} problem=${problem} again=${reload} />`;
  }
  if (!data) return html`<${Title} aside=${other}>Table ${name}<//><${Loading} what="the table" />`;
  return html`<${Title} aside=${other}>Table ${data.name}<//><${Asking} data=${data} task=${task} />`;
}

function Asking({ data, task }) {
  const columns = [...data.columns, data.target];
  const key = `target:${data.id}`;
  const [target, setTarget] = useState(() => {
    const before = keptValue(key, data.target);
    return columns.includes(before) ? before : data.target;
  });
  const change = (event) => {
    setTarget(event.currentTarget.value);
    keepValue(key, event.currentTarget.value);
  };
  const tab = (id) => replaceRoute(routeTo("new", "", { dataset: data.name, ...(id === "fit" ? {} : { task: id }) }));
  const inputs = columns.filter((column) => column !== target);
  const form = { data, target, inputs };
  return html`
    <section class="card" aria-labelledby="preview-title">
      <div class="split">
        <div>
          <h2 id="preview-title">The table</h2>
          <p class="quiet-text">${plural(data.rows, "row")}, ${plural(columns.length, "column")}${data.description ? html`. ${data.description}` : null}</p>
        </div>
        <${Field} label="Target: the column to explain">
          ${(a) => html`<select ...${a} value=${target} onChange=${change}>
            ${columns.map((column) => html`<option value=${column} selected=${column === target}>${column}</option>`)}
          </select>`}
        <//>
      </div>
      <${Preview} data=${data} target=${target} />
    </section>
    <section class="card" aria-label="What to do with it">
      <div class="tabs" role="group" aria-label="What to do">
        ${TASKS.map(([id, label]) => html`<button type="button" aria-pressed=${String(id === task)} onClick=${() => tab(id)}>${label}</button>`)}
      </div>
      ${task === "train" ? html`<${TrainForm} ...${form} />` : task === "eval" ? html`<${EvalForm} ...${form} />` : html`<${FitForm} ...${form} />`}
    </section>`;
}

function Preview({ data, target }) {
  const columns = [...data.columns, data.target];
  const mark = (column) => (column === target ? "target" : undefined);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="First rows of the table">
    <table class="data">
      <caption class="only-read">The first ${count(data.preview.length)} of ${plural(data.rows, "row")} of ${data.name}</caption>
      <thead>
        <tr>${columns.map((c) => html`<th scope="col" class=${mark(c)}>${c}${c === target && html`<span class="tag">target</span>`}</th>`)}</tr>
        <tr class="ranges">
          ${columns.map((c) => {
            const range = data.ranges?.[c];
            return html`<td class=${mark(c)}>${range ? `${number(range[0])} … ${number(range[1])}` : ""}</td>`;
          })}
        </tr>
      </thead>
      <tbody>
        ${data.preview.map((row) => html`<tr>${row.map((value, i) => html`<td class=${mark(columns[i])}>${number(value, 8)}</td>`)}</tr>`)}
      </tbody>
    </table>
  </div>
  ${data.preview.length < data.rows && html`<p class="hint">The first ${count(data.preview.length)} rows are shown.</p>`}`;
}

function EvalForm({ data, target }) {
  const [start, busy, problem] = useAction(async () => {
    const job = await api.evaluate(data.name);
    go(routeTo("jobs", job.id));
  });
  const submit = (event) => {
    event.preventDefault();
    start();
  };
  return html`<form onSubmit=${submit}>
    <p>Tries every function of the library on the table, and says how much of <strong>${data.target}</strong> each explains.</p>
    ${target !== data.target && html`<p class="hint">This goes by the target that the table was stored with, ${data.target}.</p>`}
    <${Problem} problem=${problem} />
    <button class="primary" disabled=${busy}>${busy ? "Starting …" : "Ask the library"}</button>
  </form>`;
}
