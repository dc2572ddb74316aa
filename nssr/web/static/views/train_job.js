// What came of learning a function by name.

import { html } from "../vendor/preact-htm.js";
import { count, r2 } from "../format.js";
import { Maths } from "../maths.js";
import { CopyButton, Empty } from "../parts.js";
import { routeTo } from "../routes.js";

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
  </section>`;
}
