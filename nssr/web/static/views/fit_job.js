// A formula search: the best formula, the front it stands on, how fast it goes, and what can be done with the formula.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { FrontPlot } from "../charts.js";
import { count, number, r2, seconds, short } from "../format.js";
import { keepValue } from "../kept.js";
import { Maths } from "../maths.js";
import { CopyButton, Empty } from "../parts.js";
import { routeTo } from "../routes.js";
import { FIT_START, fieldsOf, fitKey } from "./fit_form.js";
import { FitPictures, KeepForm } from "./fit_result.js";

const STOPPED = {
  exact: "It holds on every row to rounding, so the search ended.",
  "noise floor": "What is left looks like noise, so the search ended.",
  exhausted: "Nothing was left to try.",
  time: "The time was up.",
  cancelled: "It was stopped; this is the best it had.",
};
const SPOKEN_EVERY = 2500;

export function FitJob({ job, live, state, ended }) {
  const { result, spec } = job;
  const front = result?.equations ? { equations: result.equations, best: result.chosen } : live.front;
  const [picked, setPicked] = useState(null);
  const equations = front?.equations ?? [];
  // While the search runs, positions move: what was picked is known by its complexity.
  const selected = picked === null ? front?.best : equations.findIndex((e) => e.complexity === picked);
  const shown = equations[selected] ?? equations[front?.best] ?? null;
  const target = result?.target ?? spec.target ?? "y";
  const pick = (index) => setPicked(index === front.best ? null : equations[index].complexity);

  return html`
    ${state !== "queued" && html`<${Figures} job=${job} live=${live} ended=${ended} />`}
    ${shown
      ? html`<${Formula} equation=${shown} target=${target} best=${shown === equations[front.best]} result=${result} ended=${ended} />`
      : ended
        ? html`<${Empty} title="No formula">The search ended before it had one. Another try with more seconds may find one.<//>`
        : state === "running" && html`<${Empty} title="Searching">The first formula shows here in a moment.<//>`}
    ${equations.length > 0 &&
    html`<section class="card" aria-labelledby="front-title">
      <h2 id="front-title">Complexity against loss</h2>
      <p class="hint">The best formula of each complexity. Choose one to see it.</p>
      <div class="front">
        <${FrontPlot} equations=${equations} best=${front.best} selected=${selected} onSelect=${pick} />
        <${FrontTable} equations=${equations} best=${front.best} selected=${selected} onSelect=${pick} />
      </div>
    </section>`}
    ${result?.fit && html`<${FitPictures} fit=${result.fit} rows=${result.rows} target=${target} other=${selected !== result.chosen} />`}
    ${ended && shown && html`<${KeepForm} id=${job.id} equation=${selected} chosen=${front.best} />`}
    ${ended && html`<p><${Again} spec=${spec} /></p>`}`;
}

function Again({ spec }) {
  const refill = () => keepValue(fitKey(spec.dataset_name), { ...FIT_START, ...fieldsOf(spec), open: true });
  return html`<a class="button" href=${routeTo("new", "", { dataset: spec.dataset_name })} onClick=${refill}>Search again with changes</a>`;
}

/** Seconds go on between two events, by the reader's own clock. */
function useSeconds(told, running) {
  const [now, setNow] = useState(told);
  useEffect(() => {
    setNow(told);
    if (!running) return undefined;
    const start = performance.now();
    const timer = setInterval(() => setNow(told + (performance.now() - start) / 1000), 500);
    return () => clearInterval(timer);
  }, [told, running]);
  return now;
}

function Figures({ job, live, ended }) {
  const told = Math.max(live.rate?.seconds ?? 0, live.front?.seconds ?? 0);
  const passed = useSeconds(told, !ended);
  const most = job.spec.max_time ?? 30;
  const used = ended ? job.result?.seconds ?? job.seconds : Math.min(passed, most);
  return html`<section aria-label="The search">
    ${!ended && html`<progress max=${most} value=${used} aria-label="Seconds of the search"></progress>`}
    <dl class="figures">
      <div><dt>Searched</dt><dd>${seconds(used)}${!ended && html`<span class="of"> of ${seconds(most)}</span>`}</dd></div>
      ${live.rate && html`<div><dt>Candidates</dt><dd title=${count(live.rate.candidates)}>${short(live.rate.candidates)}</dd></div>
        <div><dt>A second</dt><dd title=${count(live.rate.per_second)}>${short(live.rate.per_second)}</dd></div>`}
      ${job.result?.rows !== undefined && html`<div><dt>Rows</dt><dd>${count(job.result.rows)}</dd></div>`}
    </dl>
  </section>`;
}

function Formula({ equation, target, best, result, ended }) {
  const facts = [
    ["R²", r2(equation.r2)],
    ["R² on held-out rows", typeof equation.held_out_r2 === "number" ? r2(equation.held_out_r2) : null],
    ["loss", number(equation.loss, 4)],
    ["complexity", count(equation.complexity)],
    ["columns", best && result?.columns ? result.columns.join(", ") || "none" : null],
  ].filter(([, value]) => value !== null);
  return html`<section class="card formula" aria-labelledby="formula-title">
    <h2 id="formula-title">${best ? (ended ? "The formula" : "The best so far") : "A chosen formula"}${best && result?.exact && html` <span class="badge state-done">exact</span>`}</h2>
    <div class="formula-line" tabindex="0" role="group" aria-label="Formula">
      <span class="formula-target">${target}</span><span class="formula-is"> = </span><${Maths} mathml=${equation.mathml} formula=${equation.formula} block=${true} />
    </div>
    <p class="formula-text"><code>${equation.formula}</code> <${CopyButton} text=${equation.formula} />${equation.latex && html` <${CopyButton} text=${equation.latex} label="Copy LaTeX" />`}</p>
    <dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${best && result?.stopped && html`<p class="hint">${STOPPED[result.stopped] ?? result.stopped}</p>`}
    <${Spoken} text=${best ? `${ended ? "The formula" : "Best so far"}: ${target} = ${equation.formula}` : ""} />
  </section>`;
}

/** The best formula for screen readers, no more often than it can be listened to. */
function Spoken({ text }) {
  const [said, setSaid] = useState("");
  const last = useRef(0);
  useEffect(() => {
    const wait = Math.max(50, last.current + SPOKEN_EVERY - Date.now());
    const timer = setTimeout(() => {
      last.current = Date.now();
      setSaid(text);
    }, wait);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="only-read" aria-live="polite" aria-atomic="true">${said}</p>`;
}

function FrontTable({ equations, best, selected, onSelect }) {
  const withScore = equations.some((e) => typeof e.score === "number");
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Formulas by complexity">
    <table class="data">
      <caption class="only-read">Formulas by complexity</caption>
      <thead>
        <tr><th scope="col">Complexity</th><th scope="col">Loss</th><th scope="col" class="extra">R²</th>${withScore && html`<th scope="col" class="extra" title="fall of log(loss) per node from the row before">Score</th>`}<th scope="col" class="text">Formula</th></tr>
      </thead>
      <tbody>
        ${equations.map(
          (e, index) => html`<tr key=${e.complexity} class=${[index === selected && "selected", index === best && "best"].filter(Boolean).join(" ") || undefined}>
            <td>${count(e.complexity)}${index === best && html`<span class="tag">best</span>`}</td>
            <td>${number(e.loss, 3)}</td>
            <td class="extra">${r2(e.r2)}</td>
            ${withScore && html`<td class="extra">${number(e.score, 3)}</td>`}
            <td class="text">
              <button type="button" class="pick" aria-pressed=${String(index === selected)} onClick=${() => onSelect(index)}><${Maths} mathml=${e.mathml} formula=${e.formula} /></button>
            </td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
