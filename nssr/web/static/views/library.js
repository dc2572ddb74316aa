// The growing library: its picture, and beside it the function that was opened.

import { html, useState } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { plural } from "../format.js";
import { useAction, useLoad } from "../loading.js";
import { ConfirmButton, Empty, Field, Loading, Problem, Title } from "../parts.js";
import { go, routeTo } from "../routes.js";
import { FunctionPanel } from "./function.js";
import { Graph } from "./graph.js";

function matching(functions, text, onlyUsed) {
  const wanted = text.trim().toLowerCase();
  return functions.filter(
    (f) => (!wanted || f.name.toLowerCase().includes(wanted)) && (!onlyUsed || f.kind !== "primitive" || f.used_by?.length > 0),
  );
}

export function Library({ selected }) {
  const { data, problem, reload } = useLoad(api.functions, []);
  const [text, setText] = useState("");
  const [onlyUsed, setOnlyUsed] = useState(false);
  const functions = data?.functions ?? [];
  const shown = matching(functions, text, onlyUsed);
  const learned = functions.filter((f) => f.kind === "learned").length;
  const gone = () => {
    go(routeTo("library"));
    reload();
  };
  return html`
    <${Title}>The library<//>
    ${problem && html`<${Problem} problem=${problem} again=${reload} />`}
    ${!data && !problem && html`<${Loading} what="the library" />`}
    ${data &&
    html`<p class="lead">${plural(learned, "learned function")} over ${plural(functions.length - learned, "primitive")}. A line leads from a function to those that are made of it.</p>
      ${learned === 0 && html`<${Empty} title="Nothing was learned yet">Keep the formula of a search, or <a href=${routeTo("new")}>learn a function from a table</a>; it will stand here, above what it is made of.<//>`}
      <div class=${selected === null ? "library" : "library with-panel"}>
        <section class="card library-graph" aria-label="Picture of the library">
          <div class="row">
            <${Field} label="Show names with">
              ${(a) => html`<input ...${a} type="search" value=${text} onInput=${(e) => setText(e.currentTarget.value)} />`}
            <//>
            <label class="check"><input type="checkbox" checked=${onlyUsed} onChange=${(e) => setOnlyUsed(e.currentTarget.checked)} /> Only primitives in use</label>
          </div>
          ${shown.length ? html`<${Graph} functions=${shown} selected=${selected} />` : html`<p class="hint" role="status">No function has “${text}” in its name.</p>`}
        </section>
        ${selected !== null && html`<${FunctionPanel} key=${selected} name=${selected} onDeleted=${gone} />`}
      </div>
      <${Whole} onChanged=${reload} />`}`;
}

function Whole({ onChanged }) {
  const [withTables, setWithTables] = useState(false);
  const [said, setSaid] = useState("");
  const [take, taking, refused] = useAction(async (file) => {
    const job = await api.importLibrary(await file.text());
    go(routeTo("jobs", job.id));
  });
  const [reset, resetting, notReset] = useAction(async () => {
    await api.reset(withTables);
    setSaid("The library is as it was in the beginning. A copy of the old one is in the server's directory, under backups.");
    onChanged();
  });
  return html`<details class="card whole">
    <summary>The whole library: export, import, copy, reset</summary>
    <p><a class="button" href="/library/export" download="library.json">Export as JSON</a> <a class="button" href="/library/backup" download="symbolic.db">Copy as SQLite</a></p>
    <${Field} label="Import functions from an exported JSON file" hint="Each is checked on its examples before any joins.">
      ${(a) => html`<input ...${a} type="file" accept=".json,application/json" disabled=${taking}
        onChange=${(e) => { if (e.currentTarget.files[0]) take(e.currentTarget.files[0]); e.currentTarget.value = ""; }} />`}
    <//>
    <${Problem} problem=${refused} />
    <p><label class="check"><input type="checkbox" checked=${withTables} onChange=${(e) => setWithTables(e.currentTarget.checked)} /> Reset deletes the tables too</label></p>
    <${ConfirmButton} label="Reset the library" question="Forget all that was learned?" confirm="Reset" busy=${resetting} onConfirm=${reset} />
    <${Problem} problem=${notReset} />
    <p role="status">${said}</p>
  </details>`;
}
