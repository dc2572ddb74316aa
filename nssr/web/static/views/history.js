// What was asked, and what became of the library.

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { seconds, when } from "../format.js";
import { useAction, useLoad } from "../loading.js";
import { Empty, Field, KINDS, Loading, Problem, StateBadge, Title } from "../parts.js";
import { replaceRoute, routeTo } from "../routes.js";

const STATES = [["queued", "waiting"], ["running", "running"], ["done", "done"], ["failed", "failed"], ["cancelled", "cancelled"]];
const WHAT = { learned: "learned", kept: "kept", deleted: "deleted", imported: "imported", reset: "reset" };
const PAGE = 30;

export function History({ kind, state }) {
  const { data, problem, reload } = useLoad(() => api.jobs({ kind, state, limit: PAGE }), [kind, state]);
  const [older, setOlder] = useState({ jobs: [], next: null });
  useEffect(() => setOlder({ jobs: [], next: data?.next ?? null }), [data]);
  const [more, busy, notMore] = useAction(async () => {
    const page = await api.jobs({ kind, state, limit: PAGE, before: older.next });
    setOlder((before) => ({ jobs: [...before.jobs, ...page.jobs], next: page.next }));
  });
  const running = data?.jobs.some((j) => j.state === "running" || j.state === "queued");
  useEffect(() => {
    if (!running) return undefined;
    const timer = setInterval(() => document.hidden || older.jobs.length || reload(), 3000);
    return () => clearInterval(timer);
  }, [running, reload, older.jobs.length]);
  const choose = (changes) => {
    const asked = { kind, state, ...changes };
    replaceRoute(routeTo("history", "", Object.fromEntries(Object.entries(asked).filter(([, value]) => value))));
  };
  const jobs = [...(data?.jobs ?? []), ...older.jobs];
  return html`<${Title}>History<//>
    <div class="row">
      <${Field} label="Kind">${(a) => html`<select ...${a} value=${kind} onChange=${(e) => choose({ kind: e.currentTarget.value })}>
        <option value="">all</option>${Object.entries(KINDS).map(([value, label]) => html`<option value=${value} selected=${value === kind}>${label}</option>`)}
      </select>`}<//>
      <${Field} label="State">${(a) => html`<select ...${a} value=${state} onChange=${(e) => choose({ state: e.currentTarget.value })}>
        <option value="">all</option>${STATES.map(([value, label]) => html`<option value=${value} selected=${value === state}>${label}</option>`)}
      </select>`}<//>
    </div>
    ${problem && html`<${Problem} problem=${problem} again=${reload} />`}
    ${!data && !problem && html`<${Loading} what="the jobs" />`}
    ${data &&
    (jobs.length
      ? html`<ul class="list">${jobs.map((job) => html`<${Row} key=${job.id} job=${job} />`)}</ul>`
      : html`<${Empty} title="No jobs">${kind || state ? "None of this kind and state." : html`<a href=${routeTo("new")}>Start from a table</a>; every search will be found here.`}<//>`)}
    <${Problem} problem=${notMore} />
    ${older.next && html`<p><button type="button" disabled=${busy} onClick=${more}>Older</button></p>`}
    <${Deeds} />`;
}

function subject({ kind, spec = {} }) {
  if (kind === "fit") return `${spec.target ?? "formula"} of ${spec.dataset_name}`;
  if (kind === "train") return `${spec.target_name} from ${spec.dataset_name}`;
  return spec.dataset_name ?? KINDS[kind] ?? kind;
}

const Row = ({ job }) => html`<li class="card list-row">
  <div class="list-text">
    <a class="list-name" href=${routeTo("jobs", job.id)}>${subject(job)}</a>
    <p class="quiet-text">${KINDS[job.kind] ?? job.kind}, ${when(job.created_at)}${typeof job.seconds === "number" && `, ${seconds(job.seconds)}`}</p>
    ${job.formula && html`<p class="quiet-text"><code>${job.formula}</code></p>`}
    ${job.error && html`<p class="wrong">${job.error}</p>`}
  </div>
  <${StateBadge} state=${job.state} />
</li>`;

function Deeds() {
  const { data, problem, reload } = useLoad(api.history, []);
  if (problem) return html`<${Problem} problem=${problem} again=${reload} />`;
  if (!data?.history.length) return null;
  return html`<section aria-labelledby="deeds-title">
    <h2 id="deeds-title">What became of the library</h2>
    <ul class="deeds card">
      ${data.history.slice(0, 100).map(
        (d) => html`<li><span class="quiet-text">${when(d.at)}</span> <span>${WHAT[d.what] ?? d.what}</span>
          ${d.name && (d.what === "deleted" || d.what === "reset" ? html` <strong>${d.name}</strong>` : html` <a href=${routeTo("functions", d.name)}>${d.name}</a>`)}
          ${typeof d.detail === "string" && d.detail && html` <span class="quiet-text">${d.detail}</span>`}
          ${d.job && html` <a href=${routeTo("jobs", d.job)}>job</a>`}</li>`,
      )}
    </ul>
  </section>`;
}
