// Three ways to a table: a file dropped or chosen, text pasted, a table that the server has.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { bytes, plural } from "../format.js";
import { useKept } from "../kept.js";
import { useAction, useLoad } from "../loading.js";
import { Field, Problem } from "../parts.js";
import { routeTo } from "../routes.js";

const nameOfFile = (file) => file.name.replace(/\.(csv|tsv|txt)$/i, "").trim() || "table";

const sent = new Map();

/** The text of a table that this tab sent since it was loaded. */
export const sentText = (id) => sent.get(id);

export function TableSource({ onChosen }) {
  const [typed, change] = useKept("source", { name: "", text: "", open: false });
  const [over, setOver] = useState(false);
  const [sending, setSending] = useState("");
  const chooser = useRef(null);
  const abort = useRef(null);

  const [send, busy, problem] = useAction(async (body, ownName) => {
    abort.current = new AbortController();
    const name = typed.name.trim() || ownName;
    const added = await api.withFreeName(name, (free) => api.uploadCsv(body, { name: free }, abort.current.signal));
    sent.set(added.id, body);
    change({ name: "", text: "", open: false });
    onChosen(added.name);
  });
  useEffect(() => () => abort.current?.abort(), []);

  function take(file) {
    if (!file || busy) return;
    setSending(`${file.name}, ${bytes(file.size)}`);
    send(file, nameOfFile(file));
  }
  function drop(event) {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer.files[0];
    const text = event.dataTransfer.getData("text/plain");
    if (file) take(file);
    else if (text) change({ text, open: true });
  }
  function drag(event) {
    event.preventDefault();
    setOver(event.type !== "dragleave");
  }
  function paste(event) {
    event.preventDefault();
    setSending("pasted text");
    send(typed.text, "pasted");
  }

  return html`
    <section class="card" aria-label="A new table">
      <div class=${over ? "drop over" : "drop"} onDrop=${drop} onDragOver=${drag} onDragEnter=${drag} onDragLeave=${drag}>
        <p class="drop-title">Drop a CSV file here</p>
        <p>A header line, then numbers; commas, semicolons or tabs.</p>
        <input class="only-read" type="file" id="file" tabindex="-1" aria-hidden="true" accept=".csv,.tsv,.txt,text/csv" ref=${chooser}
          onChange=${(e) => { take(e.currentTarget.files[0]); e.currentTarget.value = ""; }} />
        <button type="button" class="primary" disabled=${busy} onClick=${() => chooser.current.click()}>Choose a file</button>
        <p class="sending" role="status">${busy && `Sending ${sending} …`}</p>
        ${busy && html`<button type="button" class="quiet" onClick=${() => abort.current?.abort()}>Stop sending</button>`}
      </div>
      <${Problem} problem=${problem} />
      <details open=${typed.open} onToggle=${(e) => e.currentTarget.open !== typed.open && change({ open: e.currentTarget.open })}>
        <summary>Paste a table, or give it another name</summary>
        <form onSubmit=${paste}>
          <${Field} label="Name" hint="The file's own name where this is empty.">
            ${(a) => html`<input ...${a} value=${typed.name} maxlength="200" onInput=${(e) => change({ name: e.currentTarget.value })} />`}
          <//>
          <${Field} label="Table">
            ${(a) => html`<textarea ...${a} rows="7" spellcheck="false" placeholder=${"m,v,energy\n1,2,2\n3,2,6"} required
              value=${typed.text} onInput=${(e) => change({ text: e.currentTarget.value })}></textarea>`}
          <//>
          <button disabled=${busy}>Use this table</button>
        </form>
      </details>
    </section>
    <${Known} onChosen=${onChosen} />`;
}

function Known() {
  const { data, problem, reload } = useLoad(api.datasets, []);
  if (problem) return html`<${Problem} problem=${problem} again=${reload} />`;
  if (!data?.datasets.length) return null;
  return html`<section aria-labelledby="known-title">
    <h2 id="known-title">Or one that is here</h2>
    <ul class="known">
      ${data.datasets.slice(0, 12).map(
        (d) => html`<li key=${d.id}>
          <a class="card" href=${routeTo("new", "", { dataset: d.name })}>
            <strong>${d.name}</strong><span>${d.target} from ${plural(d.columns.length, "column")}, ${plural(d.rows, "row")}</span>
          </a>
        </li>`,
      )}
    </ul>
    ${data.datasets.length > 12 && html`<p><a href=${routeTo("datasets")}>All ${data.datasets.length} tables</a></p>`}
  </section>`;
}
