// How well the functions of the library explain a table.

import { html } from "../vendor/preact-htm.js";
import { count, number, plural, r2 } from "../format.js";
import { Empty } from "../parts.js";
import { routeTo } from "../routes.js";

const MOST = 50;

export function EvalResult({ result }) {
  const functions = result.functions ?? [];
  if (!functions.length) {
    return html`<${Empty} title="Nothing fits">No function of the library takes these columns. Learn one, or look for a formula.<//>`;
  }
  return html`
    <section class="card" aria-labelledby="eval-title">
      <h2 id="eval-title">${result.exact_match === result.rows ? "Explained" : "The nearest functions"}</h2>
      <p>
        ${result.best && html`<a href=${routeTo("functions", result.best)}>${result.best}</a>`} gives ${count(result.exact_match)} of ${plural(result.rows, "row")}; the best R² is ${r2(result.best_r2)}.
      </p>
      <div class="scroll" tabindex="0" role="region" aria-label="Functions, best first">
        <table class="data">
          <caption class="only-read">Functions of the library on the table, best first</caption>
          <thead><tr><th scope="col" class="text">Function</th><th scope="col">R²</th><th scope="col">Rows explained</th><th scope="col" class="text">Columns</th></tr></thead>
          <tbody>
            ${functions.slice(0, MOST).map(
              (f) => html`<tr key=${f.name}>
                <th scope="row" class="text"><a href=${routeTo("functions", f.name)}>${f.name}</a></th>
                <td>${r2(f.r2)}</td><td>${count(f.exact)}</td><td class="text">${(f.columns ?? []).join(", ")}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
      ${functions.length > MOST && html`<p class="hint">The first ${MOST} of ${count(functions.length)}.</p>`}
    </section>
    ${result.examples?.length > 0 &&
    html`<section class="card" aria-labelledby="examples-title">
      <h2 id="examples-title">Rows under ${result.best}</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Rows">
        <table class="data">
          <thead><tr><th scope="col" class="text">Inputs</th><th scope="col">Expected</th><th scope="col">Predicted</th><th scope="col" class="text">Match</th></tr></thead>
          <tbody>
            ${result.examples.map(
              (e) => html`<tr><td class="text">${e.inputs.map((v) => number(v, 6)).join(", ")}</td><td>${number(e.expected, 8)}</td><td>${number(e.predicted, 8)}</td><td class="text">${e.match ? "yes" : "no"}</td></tr>`,
            )}
          </tbody>
        </table>
      </div>
    </section>`}`;
}
