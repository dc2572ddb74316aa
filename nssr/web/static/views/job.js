// One job, while it runs and afterwards: what is common to all kinds.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { follow, hasEnded, NOTHING_YET } from "../events.js";
import { count, seconds, when } from "../format.js";
import { useAction, useLoad } from "../loading.js";
import { Bars, KINDS, Loading, Problem, StateBadge, Title } from "../parts.js";
import { percent } from "../format.js";
import { routeTo } from "../routes.js";
import { EvalResult } from "./eval_job.js";
import { FitJob } from "./fit_job.js";
import { TrainResult } from "./train_job.js";

export function Job({ id }) {
  const { data: job, problem, reload, set } = useLoad(() => api.job(id), [id]);
  const [live, setLive] = useState({ seen: NOTHING_YET, connected: true });
  const known = job !== null;
  useEffect(() => {
    if (!known) return undefined;
    return follow(id, hasEnded(job.state), ({ seen, connected, ended }) => {
      setLive({ seen, connected });
      if (ended) reload();
    });
  }, [id, known]);
  if (problem && !job) return html`<${Title}>Job<//><${Problem} problem=${problem} again=${reload} />`;
  if (!job) return html`<${Title}>Job<//><${Loading} what="the job" />`;
  const ended = hasEnded(job.state);
  const state = ended ? job.state : live.seen.state ?? job.state;
  const spec = job.spec ?? {};
  const view = { job, live: live.seen, state, ended };
  return html`
    <${Title} aside=${!ended && html`<${Cancel} id=${id} state=${state} onChange=${(now) => set(() => now)} />`}>
      ${heading(job)} <${StateBadge} state=${state} />
    <//>
    <p class="quiet-text">
      ${KINDS[job.kind] ?? job.kind}${spec.dataset_name && html`, table <a href=${routeTo("new", "", { dataset: spec.dataset_name })}>${spec.dataset_name}</a>`}, asked ${when(job.created_at)}${ended && typeof job.seconds === "number" && `, took ${seconds(job.seconds)}`}
    </p>
    ${!ended && !live.connected && html`<p class="notice" role="status">The connection is interrupted; the job goes on, and so does this page as soon as the server answers.</p>`}
    ${problem && html`<${Problem} problem=${problem} again=${reload} />`}
    ${job.error && html`<div class="problem" role="alert"><p>${job.error}</p></div>`}
    ${state === "queued" && html`<p class="notice" role="status">Waiting for its turn.</p>`}
    ${job.kind === "fit"
      ? html`<${FitJob} ...${view} />`
      : html`
          ${!ended && html`<${Progress} progress=${live.seen.progress} state=${state} />`}
          ${job.kind === "train" && job.result && html`<${TrainResult} result=${job.result} spec=${spec} />`}
          ${job.kind === "eval" && job.result && html`<${EvalResult} result=${job.result} />`}
          ${job.kind === "import" && job.result && html`<${Plain} result=${job.result} />`}
          ${live.seen.rate && html`<${Rate} rate=${live.seen.rate} />`}
        `}
    <${Guide} guide=${live.seen.guide} />
    <${Notes} notes=${live.seen.notes} />`;
}

function heading({ kind, spec = {} }) {
  if (kind === "fit") return `Formula for ${spec.target ?? spec.dataset_name}`;
  if (kind === "train") return `Learning ${spec.target_name}`;
  if (kind === "eval") return `The library on ${spec.dataset_name}`;
  return KINDS[kind] ?? kind;
}

function Cancel({ id, state, onChange }) {
  const [asked, setAsked] = useState(false);
  const [cancel, busy, problem] = useAction(async () => {
    onChange(await api.cancelJob(id));
    setAsked(true);
  });
  const waiting = busy || (asked && !hasEnded(state));
  return html`<span class="aside">
    <button type="button" class="danger" disabled=${waiting} onClick=${cancel}>${waiting ? "Stopping …" : "Stop"}</button>
    <${Problem} problem=${problem} />
  </span>`;
}

function Progress({ progress, state }) {
  if (!progress) return state === "running" ? html`<p class="notice" role="status">Starting …</p>` : null;
  const { doing, step, total, remark } = progress;
  const known = typeof total === "number" && total > 0;
  return html`<section class="card" aria-label="Progress">
    <p role="status"><strong>${doing}</strong>${remark && html` – ${remark}`}</p>
    ${known && html`<progress max=${total} value=${step} aria-label=${doing}></progress><p class="hint">${count(step)} of ${count(total)}</p>`}
  </section>`;
}

function Rate({ rate }) {
  return html`<dl class="figures">
    <div><dt>Tried</dt><dd>${count(rate.candidates)}</dd></div>
    <div><dt>A second</dt><dd>${count(Math.round(rate.per_second ?? 0))}</dd></div>
  </dl>`;
}

function Guide({ guide }) {
  const functions = guide?.functions ?? [];
  const types = guide?.types ?? [];
  if (!functions.length && !types.length) return null;
  const rows = (items) => items.slice(0, 8).map((i) => ({ ...i, shown: percent(i.probability) }));
  return html`<section class="card" aria-labelledby="guide-title">
    <h2 id="guide-title">What the guide thinks</h2>
    <p class="hint">A small model looks at the rows and says what is likely; the search starts there.</p>
    <div class="columns">
      ${functions.length > 0 && html`<${Bars} items=${rows(functions)} caption="Functions" />`}
      ${types.length > 0 && html`<${Bars} items=${rows(types)} caption="Kinds of composition" />`}
    </div>
  </section>`;
}

function Notes({ notes }) {
  if (!notes.length) return null;
  return html`<section class="card" aria-labelledby="notes-title">
    <h2 id="notes-title">Notes</h2>
    <ul class="notes">${notes.map((text) => html`<li>${text}</li>`)}</ul>
  </section>`;
}

/** A result of which nothing is known but that it is JSON. */
function Plain({ result }) {
  const said = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
  return html`<section class="card" aria-label="Result">
    <dl class="facts">${Object.entries(result).map(([name, value]) => html`<div><dt>${name.replaceAll("_", " ")}</dt><dd>${said(value)}</dd></div>`)}</dl>
    <p><a href=${routeTo("library")}>See the library</a></p>
  </section>`;
}
