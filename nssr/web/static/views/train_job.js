// What came of learning a function by name.

import { html } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { count, r2 } from "../format.js";
import { useLoad } from "../loading.js";
import { Maths } from "../maths.js";
import { CopyButton, Empty } from "../parts.js";
import { routeTo } from "../routes.js";
import { FitPictures } from "./fit_result.js";

const ROWS = 100; // as many as the server shows of a table

export function TrainResult({ result, spec }) {
  if (!result.found) {
    return html`<${Empty} title="Nothing was found">
      ${count(result.candidates)} candidates were tried. It may help to learn a part of it first, to allow more search steps, or to
      <a href=${routeTo("new", "", { dataset: spec.dataset_name })}> look for a formula</a> instead.
    <//>`;
  }
  const list = (names) => (names?.length ? names.join(", ") : null);
  const facts = [
    ["R²", r2(result.r2)],
    ["R² on held-out rows", typeof result.held_out_r2 === "number" ? r2(result.held_out_r2) : null],
    ["rows", count(result.rows)],
    ["candidates", count(result.candidates)],
    ["layer", count(result.layer)],
    ["columns", list(result.columns)],
    ["ignored", list(result.ignored)],
  ].filter(([, value]) => value !== null);
  return html`<section class="card formula" aria-labelledby="learned-title">
    <h2 id="learned-title">
      <a href=${routeTo("functions", result.name)}>${result.name}</a>${result.exact && html` <span class="badge state-done">exact</span>`}
    </h2>
    ${result.known_before && html`<p class="notice">The library knew it before${result.same_as ? html`, as <a href=${routeTo("functions", result.same_as)}>${result.same_as}</a>` : null}.</p>`}
    ${!result.known_before && result.same_as && html`<p class="notice">It gives the same values as <a href=${routeTo("functions", result.same_as)}>${result.same_as}</a>.</p>`}
    ${result.formula &&
    html`<div class="formula-line" tabindex="0" role="group" aria-label="Formula"><${Maths} mathml=${result.mathml} formula=${result.formula} block=${true} /></div>
      <p class="formula-text"><code>${result.formula}</code> <${CopyButton} text=${result.formula} /></p>`}
    ${result.composition && html`<h3>Composition</h3><pre class="scroll" tabindex="0"><code>${result.composition}</code></pre>`}
    ${result.uses?.length > 0 && html`<p>Uses ${result.uses.map((name, i) => html`${i > 0 && ", "}<a href=${routeTo("functions", name)}>${name}</a>`)}.</p>`}
    <dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <p><a class="button primary" href=${routeTo("functions", result.name)}>See it in the library</a></p>
  </section>
  ${result.columns?.length > 0 && html`<${Pictures} result=${result} datasetName=${spec.dataset_name} />`}`;
}

/** The function on rows of its table. Where either is gone by now there is nothing to draw, and nothing is amiss. */
function Pictures({ result, datasetName }) {
  const { data } = useLoad(async () => {
    const table = await api.dataset(datasetName, ROWS);
    const places = result.columns.map((column) => table.columns.indexOf(column));
    if (places.includes(-1)) return null;
    const answer = await api.predict(result.name, table.preview.map((row) => places.map((place) => row[place])));
    return { fit: { actual: table.preview.map((row) => row.at(-1)), predicted: answer.outputs.map((value) => (value === null ? NaN : Number(value))) }, table };
  }, [result.name, datasetName]);
  return data && html`<${FitPictures} fit=${data.fit} rows=${data.table.rows} target=${data.table.target} />`;
}
