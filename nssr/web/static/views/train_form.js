// A function learned by name: a typed search that the guide leads, and that ends with a new word of the library.

import { html } from "../vendor/preact-htm.js";
import * as api from "../api.js";
import { useKept } from "../kept.js";
import { useAction } from "../loading.js";
import { detailFor, Field, Problem } from "../parts.js";
import { go, routeTo } from "../routes.js";
import { sentText } from "./table_source.js";

const START = { name: "", depth: "5", epochs: "40", steps: "15", open: false };

/**
 * The name of the table that has `target` as its target: learning goes by the stored one, so another target makes another table.
 * The text as it was sent is best, since it still tells 2 from 2.0; after a reload, the rows that the server shows have to do.
 */
async function tableFor(data, target) {
  if (target === data.target) return data.name;
  const description = `${data.name} with ${target} as target`;
  const text = sentText(data.id);
  if (text) return (await api.withFreeName(`${data.name}-${target}`, (name) => api.uploadCsv(text, { name, target, description }))).name;
  const whole = await api.dataset(data.name, data.rows);
  const columns = [...data.columns, data.target];
  const at = columns.indexOf(target);
  const examples = whole.preview.map((row) => [row.filter((_, i) => i !== at), row[at]]);
  if (examples.length < data.rows) {
    throw new api.Problem(0, `This table is too long to be turned around here. Upload it again with ${target} as its last column.`);
  }
  const added = await api.withFreeName(`${data.name}-${target}`, (name) =>
    api.addDataset({ name, description, examples, columns: columns.filter((c) => c !== target), target }),
  );
  return added.name;
}

export function TrainForm({ data, target, inputs }) {
  const [fields, change] = useKept(`train:${data.name}`, START);
  const [start, busy, problem] = useAction(async () => {
    const job = await api.train({
      target_name: fields.name.trim(),
      dataset_name: await tableFor(data, target),
      max_depth: Number(fields.depth),
      num_epochs: Number(fields.epochs),
      max_search_steps: Number(fields.steps),
    });
    go(routeTo("jobs", job.id));
  });
  const submit = (event) => {
    event.preventDefault();
    start();
  };
  const typed = (name) => (event) => change({ [name]: event.currentTarget.value });
  const whole = (label, name, field, hint) => html`<${Field} label=${label} hint=${hint} wrong=${detailFor(problem, field)}>
    ${(a) => html`<input ...${a} class="narrow" type="number" min="0" step="1" required value=${fields[name]} onInput=${typed(name)} />`}
  <//>`;
  return html`<form onSubmit=${submit} onInvalidCapture=${() => change({ open: true })}>
    <p>Looks for a small program over the functions of the library that gives <strong>${target}</strong> from ${inputs.join(", ")}. What is found joins the library, and the next search can use it.</p>
    ${target !== data.target && html`<p class="hint">The table was stored with ${data.target} as its target; a copy with ${target} will be made.</p>`}
    <${Field} label="Name of the function" wrong=${detailFor(problem, "target_name")} hint="Such as KINETIC_ENERGY. Other functions will use it by this name.">
      ${(a) => html`<input ...${a} required maxlength="200" spellcheck="false" autocomplete="off" value=${fields.name} onInput=${typed("name")} />`}
    <//>
    <details open=${fields.open} onToggle=${(e) => e.currentTarget.open !== fields.open && change({ open: e.currentTarget.open })}>
      <summary>More: depth and training</summary>
      <div class="columns">
        ${whole("Most depth", "depth", "max_depth", "Of the composition, counted through the library.")}
        ${whole("Epochs of training", "epochs", "num_epochs", "For the guide, on this table.")}
        ${whole("Search steps, at most", "steps", "max_search_steps")}
      </div>
    </details>
    <${Problem} problem=${problem} />
    <button class="primary" disabled=${busy}>${busy ? "Starting …" : "Learn it"}</button>
  </form>`;
}
