// The small things that every view is made of.

import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";
import { seconds } from "./format.js";

const STATES = { queued: "waiting", running: "running", done: "done", failed: "failed", cancelled: "cancelled" };
export const KINDS = { fit: "Formula search", train: "Function learned by name", eval: "Library on a table", import: "Import" };

export function Problem({ problem, again }) {
  if (!problem) return null;
  const errors = problem.errors ?? [];
  return html`<div class="problem" role="alert">
    <p>${problem.message}</p>
    ${errors.length > 0 &&
    html`<ul>
      ${errors.map((e) => html`<li>${e.where ? html`<strong>${whereText(e.where)}</strong>: ` : null}${e.detail}</li>`)}
    </ul>`}
    ${problem.retryAfter && html`<p>It asks to try again in ${seconds(problem.retryAfter)}.</p>`}
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

const whereText = (where) => (Array.isArray(where) ? where.filter((w) => w !== "body").join(" › ") : String(where));

/** The part of a problem that is about one field, for that field. */
export function detailFor(problem, field) {
  const found = (problem?.errors ?? []).find((e) => whereText(e.where).split(/[^\w]+/).includes(field));
  return found ? found.detail : null;
}

/** `children` makes the control from the attributes that tie it to its label, its hint and what is wrong with it. */
export function Field({ label, hint, wrong, children }) {
  const id = useId();
  const described = [hint && `${id}h`, wrong && `${id}w`].filter(Boolean).join(" ") || undefined;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children({ id, "aria-describedby": described, "aria-invalid": wrong ? "true" : undefined })}
    ${wrong && html`<p class="wrong" id=${`${id}w`}>${wrong}</p>`}
    ${hint && html`<p class="hint" id=${`${id}h`}>${hint}</p>`}
  </div>`;
}

export function Loading({ what }) {
  return html`<p class="loading" role="status">Loading ${what} …</p>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p><p>${children}</p></div>`;
}

export const StateBadge = ({ state }) => html`<span class=${`badge state-${state}`}>${STATES[state] ?? state}</span>`;

/** The heading of a view takes the focus when the view comes up, so that keys and screen readers start where the eye does. */
export function Title({ children, aside }) {
  const heading = useRef(null);
  useEffect(() => {
    if (document.body.dataset.moved) heading.current.focus({ preventScroll: true });
  }, []);
  return html`<div class="title"><h1 tabindex="-1" ref=${heading}>${children}</h1>${aside}</div>`;
}

/** A button that asks before it does what cannot be undone. The answer that does no harm has the focus. */
export function ConfirmButton({ label, question, confirm = "Delete", busy, onConfirm, ...rest }) {
  const [asking, setAsking] = useState(false);
  const refuse = useRef(null);
  const start = useRef(null);
  const before = useRef(false);
  useLayoutEffect(() => {
    if (asking) refuse.current?.focus();
    else if (before.current) start.current?.focus();
    before.current = asking;
  }, [asking]);
  if (!asking) {
    return html`<button type="button" class="quiet danger" ref=${start} disabled=${busy} onClick=${() => setAsking(true)} ...${rest}>${label}</button>`;
  }
  const keys = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      setAsking(false);
    }
  };
  return html`<span class="confirm" role="group" aria-label=${question} onKeyDown=${keys}>
    <span>${question}</span>
    <button type="button" class="danger solid" onClick=${() => { setAsking(false); onConfirm(); }}>${confirm}</button>
    <button type="button" ref=${refuse} onClick=${() => setAsking(false)}>No, keep</button>
  </span>`;
}

/** Copies `text`; says so where it worked and where the browser forbids it. */
export function CopyButton({ text, label = "Copy" }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(""), 2000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      setSaid("Copying is not allowed here");
    }
  };
  return html`<button type="button" class="quiet" onClick=${copy}><span aria-live="polite">${said || label}</span></button>`;
}

export function Bars({ items, caption }) {
  const most = Math.max(...items.map((i) => i.probability), 1e-12);
  return html`<table class="bars">
    <caption>${caption}</caption>
    <tbody>
      ${items.map(
        (item) => html`<tr key=${item.name}>
          <th scope="row" title=${item.name}>${item.name}</th>
          <td class="bar-cell"><span class="bar" style=${{ width: `${Math.max(1, (100 * item.probability) / most)}%` }}></span></td>
          <td class="number">${item.shown}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}
