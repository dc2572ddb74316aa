// One function of the library: what it is, what it is made of, what it is good for.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { count, number, when } from "../format.js";
import { useAction, useLoad } from "../loading.js";
import { Maths } from "../maths.js";
import { ConfirmButton, CopyButton, Loading, Problem } from "../parts.js";
import { routeTo } from "../routes.js";
import { Try } from "./predict.js";

const FORMATS = [["json", "JSON"], ["text", "text"], ["latex", "LaTeX"], ["mathml", "MathML"], ["python", "Python"], ["sympy", "SymPy"], ["c", "C"]];

export function FunctionPanel({ name, onDeleted }) {
  const { data: fn, problem, reload } = useLoad(() => api.oneFunction(name), [name]);
  const heading = useRef(null);
  const panel = useRef(null);
  useEffect(() => {
    if (document.body.dataset.moved) heading.current.focus({ preventScroll: true });
  }, []);
  useEffect(() => {
    if (document.body.dataset.moved) panel.current.scrollIntoView({ block: "nearest" });
  }, [fn !== null]);
  const close = (event) => {
    if (event.key !== "Escape" || event.target.matches("input, textarea")) return;
    window.location.hash = routeTo("library");
  };
  return html`<section class="card panel" aria-labelledby="function-title" ref=${panel} onKeyDown=${close}>
    <div class="split">
      <h2 id="function-title" tabindex="-1" ref=${heading}>${name}</h2>
      <a class="button quiet" href=${routeTo("library")} aria-label="Close this function">Close</a>
    </div>
    ${problem ? html`<${Problem} problem=${problem} again=${reload} />` : fn ? html`<${About} fn=${fn} onDeleted=${onDeleted} />` : html`<${Loading} what="the function" />`}
  </section>`;
}

function About({ fn, onDeleted }) {
  const facts = [
    ["kind", fn.kind],
    ["layer", count(fn.layer)],
    ["inputs", fn.arity === null ? "any number" : count(fn.arity)],
    ["pack", fn.pack],
    ["constants", constantsOf(fn.constants)],
    ["since", fn.kind === "learned" && fn.created_at ? when(fn.created_at) : null],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`
    ${(fn.mathml || fn.formula) && html`<div class="formula-line" tabindex="0" role="group" aria-label="Formula"><${Maths} mathml=${fn.mathml} formula=${fn.formula} block=${true} /></div>`}
    ${fn.formula && html`<p class="formula-text"><code>${fn.formula}</code> <${CopyButton} text=${fn.formula} /></p>`}
    <dl class="facts">${facts.map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>
    ${fn.composition && html`<h3>Composition</h3><pre class="scroll" tabindex="0"><code>${fn.composition}</code></pre>`}
    <${Names} title="Uses" names=${fn.uses} none=${fn.kind === "primitive" ? "It is a primitive." : "Nothing."} />
    <${Names} title="Used by" names=${fn.used_by} none="Nothing yet." />
    <${Try} fn=${fn} />
    <${Export} name=${fn.name} />
    ${fn.kind === "learned" && html`<${Delete} fn=${fn} onDeleted=${onDeleted} />`}`;
}

function constantsOf(constants) {
  const all = Array.isArray(constants) ? constants : constants && typeof constants === "object" ? Object.values(constants) : [];
  return all.length ? all.map((c) => (typeof c === "number" ? number(c, 8) : typeof c === "string" ? c : JSON.stringify(c))).join(", ") : null;
}

function Names({ title, names, none }) {
  return html`<h3>${title}</h3>
    ${names?.length ? html`<ul class="names">${names.map((n) => html`<li key=${n}><a class="chip-link" href=${routeTo("functions", n)}>${n}</a></li>`)}</ul>` : html`<p class="hint">${none}</p>`}`;
}

/** Shown before it is saved: a refusal (not every function has every form) is then said here, and not on a page of its own. */
function Export({ name }) {
  const [shown, setShown] = useState(null);
  const [load, busy, problem] = useAction(async (format) => {
    setShown(null);
    setShown({ format, text: await api.exported(name, format) });
  });
  return html`<h3>Export</h3>
    <div class="buttons" role="group" aria-label="Forms">
      ${FORMATS.map(([format, label]) => html`<button type="button" class="quiet" disabled=${busy} aria-pressed=${String(shown?.format === format)} onClick=${() => load(format)}>${label}</button>`)}
    </div>
    <${Problem} problem=${problem} />
    <div aria-live="polite">
      ${shown &&
      html`<pre class="scroll export" tabindex="0"><code>${shown.text}</code></pre>
        <p><${CopyButton} text=${shown.text} /> <a class="button quiet" href=${api.exportPath(name, shown.format)} download>Save</a></p>`}
    </div>`;
}

function Delete({ fn, onDeleted }) {
  const [remove, busy, problem] = useAction(async () => {
    await api.deleteFunction(fn.name);
    onDeleted();
  });
  return html`<h3>Delete</h3>
    <p><${ConfirmButton} label="Delete this function" question=${`Delete ${fn.name} for good?`} busy=${busy} onConfirm=${remove} /></p>
    <${Problem} problem=${problem} />`;
}
