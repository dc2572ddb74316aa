// The library as a picture: what each function is made of. One stop of the Tab key; arrows walk, Enter opens.

import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";
import { plural } from "../format.js";
import { layoutOf, neighbour, NODE, pathOf } from "../layout.js";
import { routeTo } from "../routes.js";

const MANY = 300; // lines, beyond which the faint ones of others would be a grey veil
const SCROLLED = 500; // milliseconds

export function Graph({ functions, selected }) {
  const { nodes, layers, edges, width, height } = useMemo(() => layoutOf(functions), [functions]);
  const paths = useMemo(() => new Map(edges.map((e) => [e, pathOf(e, nodes)])), [edges]);
  const [pointed, setPointed] = useState(null);
  const [stop, setStop] = useState(null);
  const places = useRef(new Map());
  const box = useRef(null);
  const walked = useRef(-Infinity);
  const names = new Set(nodes.map((n) => n.fn.name));
  const active = [pointed, selected].find((name) => name !== null && names.has(name)) ?? null;
  const tabStop = [stop, selected].find((name) => name !== null && names.has(name)) ?? nodes.at(-1)?.fn.name;

  useEffect(() => {
    // Scrolled inside the box only: the page itself stays where the reader has it. What was learned is of more interest than the
    // primitives, so it comes first where there is not room for both.
    const node = nodes.find((n) => n.fn.name === selected);
    if (node) box.current.scrollLeft = Math.max(0, node.x + NODE.width / 2 - box.current.clientWidth / 2);
    else if (layers.length > 1) box.current.scrollLeft = Math.max(0, layers[1].x - NODE.between - NODE.width);
  }, [selected, nodes]);

  const near = new Set(active === null ? [] : [active]);
  for (const { from, to } of edges) {
    if (from.fn.name === active) near.add(to.fn.name);
    if (to.fn.name === active) near.add(from.fn.name);
  }
  const walk = (node) => (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    walked.current = event.timeStamp;
    const next = neighbour(nodes, node, event.key);
    if (!next) return;
    setStop(next.fn.name);
    places.current.get(next.fn.name)?.focus();
  };
  // A picture that scrolls under a mouse at rest is not pointed at.
  const point = (name) => (event) => event.timeStamp - walked.current > SCROLLED && setPointed(name);
  const others = active !== null && edges.length > MANY ? [] : edges.filter((e) => !touches(e, active));
  const edge = (e) => {
    const name = e.from.fn.name === active ? "edge onward" : e.to.fn.name === active ? "edge within" : "edge";
    return html`<path key=${`${e.from.fn.id}-${e.to.fn.id}`} class=${name} d=${paths.get(e)} />`;
  };
  const node = (n) => {
    const { fn } = n;
    const kinds = ["node", fn.kind, fn.name === selected && "selected", active !== null && !near.has(fn.name) && "far"];
    const says = [fn.name, fn.kind, `layer ${fn.layer}`, fn.uses?.length && `uses ${fn.uses.join(", ")}`, fn.used_by?.length && `used by ${fn.used_by.join(", ")}`];
    return html`<a key=${fn.id} class=${kinds.filter(Boolean).join(" ")} href=${routeTo("functions", fn.name)} title=${fn.name}
      aria-label=${says.filter(Boolean).join("; ")} aria-current=${fn.name === selected ? "true" : undefined}
      tabindex=${fn.name === tabStop ? 0 : -1} data-function=${fn.name}
      style=${{ left: `${n.x}px`, top: `${n.y}px`, width: `${NODE.width}px`, height: `${NODE.height}px` }}
      ref=${(element) => { if (element) places.current.set(fn.name, element); else places.current.delete(fn.name); }}
      onKeyDown=${walk(n)} onFocus=${() => { setStop(fn.name); setPointed(fn.name); }} onBlur=${() => setPointed(null)}
      onMouseEnter=${point(fn.name)} onMouseLeave=${() => setPointed(null)}>${fn.name}</a>`;
  };
  return html`<div class="graph-box" ref=${box}>
    <nav class=${active === null ? "graph" : "graph has-active"} aria-label="The library by layers; arrow keys walk, Enter opens"
      style=${{ width: `${width}px`, height: `${height}px` }}>
      <svg width=${width + 44} height=${height} aria-hidden="true">${others.map(edge)}${edges.filter((e) => touches(e, active)).map(edge)}</svg>
      ${layers.map(
        ({ layer, count, x, width: wide }) => html`<p class="layer" key=${layer} style=${{ left: `${x}px`, width: `${wide}px` }}>
          ${layer === 0 ? "Primitives" : `Layer ${layer}`} <span>${plural(count, "function")}</span>
        </p>`,
      )}
      ${nodes.map(node)}
    </nav>
  </div>`;
}

const touches = (edge, name) => edge.from.fn.name === name || edge.to.fn.name === name;
