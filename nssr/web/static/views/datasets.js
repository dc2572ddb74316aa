// The tables that the server has.

import { html, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { bytes, count, when } from "../format.js";
import { useAction, useLoad } from "../loading.js";
import { ConfirmButton, Empty, Loading, Problem, Title } from "../parts.js";
import { routeTo } from "../routes.js";

export function Datasets() {
  const { data, problem, reload } = useLoad(api.datasets, []);
  const add = html`<a class="button primary" href=${routeTo("new")}>Add a table</a>`;
  return html`<${Title} aside=${add}>Tables<//>
    ${problem && html`<${Problem} problem=${problem} again=${reload} />`}
    ${!data && !problem && html`<${Loading} what="the tables" />`}
    ${data && (data.datasets.length ? html`<${List} datasets=${data.datasets} reload=${reload} />` : html`<${Empty} title="No tables yet"><a href=${routeTo("new")}>Add one</a>: a CSV file with a header line and numbers.<//>`)}`;
}

function List({ datasets, reload }) {
  const [said, setSaid] = useState("");
  const deleted = (name) => {
    setSaid(`${name} was deleted.`);
    reload();
  };
  return html`<p class="only-read" role="status">${said}</p>
    <ul class="list">${datasets.map((d) => html`<${Row} key=${d.id} dataset=${d} onDeleted=${deleted} />`)}</ul>`;
}

function Row({ dataset: d, onDeleted }) {
  const [remove, busy, problem] = useAction(async () => {
    await api.deleteDataset(d.name);
    onDeleted(d.name);
  });
  return html`<li class="card list-row">
    <div class="list-text">
      <a class="list-name" href=${routeTo("new", "", { dataset: d.name })}>${d.name}</a>
      ${d.description && html`<p>${d.description}</p>`}
      <p class="quiet-text"><strong>${d.target}</strong> from ${d.columns.join(", ")}</p>
      <p class="quiet-text">${count(d.rows)} rows, ${bytes(d.bytes)}, ${when(d.created_at)}</p>
      <${Problem} problem=${problem} />
    </div>
    <div class="buttons">
      <a class="button" href=${routeTo("new", "", { dataset: d.name })} aria-label=${`Use the table ${d.name}`}>Use</a>
      <${ConfirmButton} label="Delete" aria-label=${`Delete the table ${d.name}`} question=${`Delete ${d.name}?`} busy=${busy} onConfirm=${remove} />
    </div>
  </li>`;
}
