// Pictures of a result. They say nothing that the tables and numbers beside them do not say too, so to screen readers each is one
// image with a sentence.

import { html, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";
import { number, tick } from "./format.js";
import { scaleOf } from "./scales.js";

const MARGIN = { left: 44, right: 12, top: 10, bottom: 40 };
const TITLE = 26; // the title of the vertical axis, and room beside it
const LETTER = 7;

/** Pictures are drawn in the pixels there are, so that their letters keep their size on a phone. */
function useWidth() {
  const place = useRef(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const measure = () => setWidth(Math.floor(place.current?.clientWidth ?? 0));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  return [place, width];
}

function Frame({ says, xTitle, yTitle, height = 260, draw }) {
  const [place, width] = useWidth();
  const within = (left) => ({ left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom });
  let inside = within(MARGIN.left);
  if (width > 120) {
    const longest = Math.max(0, ...draw(inside).y.ticks.map(({ value }) => tick(value).length));
    inside = within(Math.max(MARGIN.left, TITLE + LETTER * longest));
  }
  const { x, y, marks } = width > 120 ? draw(inside) : {};
  return html`<div class="chart" ref=${place}>
    ${x &&
    html`<svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${says}>
      <g class="grid" aria-hidden="true">
        ${y.ticks.map(({ at }) => html`<line x1=${inside.left} x2=${inside.right} y1=${at} y2=${at} />`)}
        ${x.ticks.map(({ at }) => html`<line x1=${at} x2=${at} y1=${inside.top} y2=${inside.bottom} />`)}
      </g>
      <g class="axis" aria-hidden="true">
        ${y.ticks.map(({ at, value }) => html`<text x=${inside.left - 6} y=${at + 4} text-anchor="end">${tick(value)}</text>`)}
        ${x.ticks.map(({ at, value }) => html`<text x=${at} y=${inside.bottom + 16} text-anchor="middle">${tick(value)}</text>`)}
        <text class="axis-title" x=${(inside.left + inside.right) / 2} y=${height - 5} text-anchor="middle">${xTitle}</text>
        <text class="axis-title" transform=${`translate(11 ${(inside.top + inside.bottom) / 2}) rotate(-90)`} text-anchor="middle">${yTitle}</text>
      </g>
      ${marks}
    </svg>`}
  </div>`;
}

const spread = (values) => {
  const known = values.filter((v) => Number.isFinite(v));
  return Math.min(...known) > 0 && Math.max(...known) > 100 * Math.min(...known);
};

/** Complexity against loss. A loss of zero has no logarithm: it lies on the floor of the picture. */
export function FrontPlot({ equations, best, selected, onSelect }) {
  const known = equations.map((e, index) => ({ ...e, index })).filter((e) => typeof e.loss === "number" && typeof e.complexity === "number");
  const positive = known.filter((e) => e.loss > 0).map((e) => e.loss);
  const zeros = known.length > positive.length;
  const least = Math.min(...positive);
  const floor = zeros ? (positive.length ? least / 10 : 1e-16) : least;
  const chosen = equations[best];
  const says =
    `${known.length} formulas, from complexity ${known[0]?.complexity ?? 0} to ${known.at(-1)?.complexity ?? 0}. ` +
    (chosen ? `The best so far has complexity ${chosen.complexity} and loss ${number(chosen.loss, 3)}.` : "");
  const draw = (inside) => {
    const x = scaleOf(known.map((e) => e.complexity), [inside.left, inside.right], { about: Math.min(8, Math.floor(inside.right / 60)), include: [0] });
    x.ticks = x.ticks.filter(({ value }) => Number.isInteger(value));
    const y = scaleOf(positive, [inside.bottom, inside.top], { log: true, include: zeros ? [floor] : [] });
    const at = (e) => [x.place(e.complexity), y.place(Math.max(e.loss, floor))];
    const line = known.map((e, i) => (i ? `H${at(e)[0].toFixed(1)}V${at(e)[1].toFixed(1)}` : `M${at(e)[0].toFixed(1)} ${at(e)[1].toFixed(1)}`)).join("");
    const mark = (e) => {
      const [cx, cy] = at(e);
      const kind = `point${e.index === best ? " best" : ""}${e.index === selected ? " selected" : ""}`;
      return html`<g key=${e.complexity} class=${kind} onClick=${() => onSelect?.(e.index)}>
        <title>${`${e.formula}: loss ${number(e.loss, 3)}`}</title>
        <circle class="hit" cx=${cx} cy=${cy} r="14" />
        <circle class="dot" cx=${cx} cy=${cy} r=${e.index === best || e.index === selected ? 6 : 4} />
      </g>`;
    };
    return { x, y, marks: html`<path class="front-line" d=${line} />${known.map(mark)}` };
  };
  return html`<${Frame} says=${says} xTitle="complexity" yTitle=${zeros ? "loss (0 at the bottom)" : "loss"} height=${240} draw=${draw} />`;
}

function paired({ actual, predicted }) {
  return actual.map((value, i) => [value, predicted[i]]).filter(([a, p]) => Number.isFinite(a) && Number.isFinite(p));
}

export const wideSpread = (fit) => spread(fit.actual) && spread(fit.predicted);

const dots = (points, x, y) =>
  points.map(([a, b]) => html`<circle class="dot" cx=${x.place(a).toFixed(1)} cy=${y.place(b).toFixed(1)} r=${points.length > 150 ? 2.5 : 4} />`);

export function FitPlot({ fit, target, log }) {
  const pairs = paired(fit).filter(([a, p]) => !log || (a > 0 && p > 0));
  const says = `Predicted against actual ${target} for ${pairs.length} rows. Points on the diagonal are predicted exactly.`;
  const draw = (inside) => {
    const both = pairs.flat();
    const x = scaleOf(both, [inside.left, inside.right], { log, about: Math.max(2, Math.floor(inside.right / 90)) });
    const y = scaleOf(both, [inside.bottom, inside.top], { log });
    const diagonal = html`<line class="ideal" x1=${x.place(x.low)} y1=${y.place(x.low)} x2=${x.place(x.high)} y2=${y.place(x.high)} />`;
    return { x, y, marks: html`${diagonal}<g class="rows">${dots(pairs, x, y)}</g>` };
  };
  return html`<${Frame} says=${says} xTitle="actual" yTitle="predicted" draw=${draw} />`;
}

export function ResidualPlot({ fit, target, log }) {
  const points = paired(fit)
    .filter(([, p]) => !log || p > 0)
    .map(([a, p]) => [p, a - p]);
  const largest = points.length ? points.reduce((most, [, r]) => Math.max(most, Math.abs(r)), 0) : 0;
  const says = `Residuals of ${target}, actual minus predicted, for ${points.length} rows. The largest is ${number(largest, 3)} in size.`;
  const draw = (inside) => {
    const x = scaleOf(points.map(([p]) => p), [inside.left, inside.right], { log, about: Math.max(2, Math.floor(inside.right / 90)) });
    const y = scaleOf(points.map(([, r]) => r), [inside.bottom, inside.top], { include: [0] });
    const zero = html`<line class="ideal" x1=${inside.left} x2=${inside.right} y1=${y.place(0)} y2=${y.place(0)} />`;
    return { x, y, marks: html`${zero}<g class="rows">${dots(points, x, y)}</g>` };
  };
  return html`<${Frame} says=${says} xTitle="predicted" yTitle="actual − predicted" draw=${draw} />`;
}
