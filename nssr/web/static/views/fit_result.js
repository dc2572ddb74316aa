// What a finished formula search leads to: its pictures, and a name in the library.

import { html, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { FitPlot, ResidualPlot, wideSpread } from "../charts.js";
import { count } from "../format.js";
import { useKept } from "../kept.js";
import { useAction } from "../loading.js";
import { detailFor, Field, Problem } from "../parts.js";
import { routeTo } from "../routes.js";

/** Predicted against actual and residuals of `fit`, which may be some rows of more; `other`: another formula is on show above. */
export function FitPictures({ fit, rows, target, other = false }) {
  const wide = wideSpread(fit);
  const [log, setLog] = useState(wide);
  return html`<section class="card" aria-labelledby="pictures-title">
    <div class="split">
      <h2 id="pictures-title">How it fits</h2>
      ${wide && html`<label class="check"><input type="checkbox" checked=${log} onChange=${(e) => setLog(e.currentTarget.checked)} /> Logarithmic axes</label>`}
    </div>
    ${other && html`<p class="hint">These are of the best formula, not of the one chosen above.</p>`}
    <div class="columns pictures">
      <figure><figcaption>Predicted against actual</figcaption><${FitPlot} fit=${fit} target=${target} log=${log} /></figure>
      <figure><figcaption>Residuals</figcaption><${ResidualPlot} fit=${fit} target=${target} log=${log} /></figure>
    </div>
    ${rows > fit.actual.length && html`<p class="hint">${count(fit.actual.length)} of ${count(rows)} rows are drawn.</p>`}
  </section>`;
}

export function KeepForm({ id, equation, chosen }) {
  const [fields, change] = useKept(`keep:${id}`, { name: "" });
  const [kept, setKept] = useState([]);
  const [keep, busy, problem] = useAction(async () => {
    const added = await api.keep(id, { name: fields.name.trim(), equation });
    setKept((before) => [...before, added.name]);
    change({ name: "" });
  });
  const submit = (event) => {
    event.preventDefault();
    keep();
  };
  return html`<section class="card" aria-labelledby="keep-title">
    <h2 id="keep-title">Keep it in the library</h2>
    <p>A formula with a name is a function that later searches can use.${equation !== chosen && " The formula kept is the one chosen above."}</p>
    <form class="row" onSubmit=${submit}>
      <${Field} label="Name of the function" wrong=${detailFor(problem, "name")}>
        ${(a) => html`<input ...${a} required maxlength="200" spellcheck="false" autocomplete="off" value=${fields.name} onInput=${(e) => change({ name: e.currentTarget.value })} />`}
      <//>
      <button class="primary" disabled=${busy}>${busy ? "Keeping …" : "Keep"}</button>
    </form>
    <${Problem} problem=${problem} />
    <div role="status">
      ${kept.map((name) => html`<p class="good" key=${name}>Kept as <a href=${routeTo("functions", name)}>${name}</a>. See it, or try it on numbers.</p>`)}
    </div>
  </section>`;
}
