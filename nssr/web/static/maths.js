// The server's MathML, made anew element by element. What is not a plain presentation element makes the whole formula fall back
// to its text: a formula with a part left out would be a wrong formula.

import { html, useLayoutEffect, useRef } from "./vendor/preact-htm.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set(
  ("math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover " +
    "mtable mtr mtd mstyle mpadded mfenced").split(" "),
);
const ATTRIBUTES = new Set(["mathvariant", "stretchy", "fence", "separator", "form", "displaystyle", "columnalign"]);
const LEAVES = new Set(["mi", "mn", "mo", "ms", "mtext"]);
const MOST_ELEMENTS = 4000;
const DEEPEST = 120;
const DIGITS = 6;

// XML knows five entities; these are the others that the printer of formulas writes.
const ENTITIES = {
  InvisibleTimes: "\u2062",
  ApplyFunction: "\u2061",
  InvisibleComma: "\u2063",
  ExponentialE: "e",
  ImaginaryI: "i",
  pi: "\u03c0",
  infin: "\u221e",
  times: "\u00d7",
  middot: "\u00b7",
  sdot: "\u22c5",
  plusmn: "\u00b1",
  PlusMinus: "\u00b1",
  nbsp: "\u00a0",
};

const withoutEntities = (text) => text.replace(/&([A-Za-z]+);/g, (whole, name) => ENTITIES[name] ?? whole);

/** Fitted constants have as many digits as they need to read back the same; the text beside the formula keeps them all. */
function readable(text) {
  const value = Number(text);
  const size = Math.abs(value);
  return /^-?\d*\.\d{5,}$/.test(text) && size >= 1e-4 && size < 1e15 ? String(Number(value.toPrecision(DIGITS))) : text;
}

/** A `math` element of the allowed parts of `text`, or null where `text` has anything else in it. */
export function mathOf(text) {
  const parsed = new DOMParser().parseFromString(`<math xmlns="${MATHML}">${withoutEntities(text)}</math>`, "application/xml");
  if (parsed.getElementsByTagName("parsererror").length) return null;
  let made = 0;

  function operator(text) {
    const element = document.createElementNS(MATHML, "mo");
    element.append(text);
    return element;
  }

  function fenced(source, depth) {
    // Browsers no longer draw the brackets of mfenced, so they are written out.
    const row = document.createElementNS(MATHML, "mrow");
    const separators = source.getAttribute("separators") ?? ",";
    row.append(operator(source.getAttribute("open") ?? "("));
    [...source.children].forEach((child, index) => {
      if (index > 0 && separators.trim()) row.append(operator(separators.trim()[0]));
      row.append(copy(child, depth + 1));
    });
    row.append(operator(source.getAttribute("close") ?? ")"));
    return row;
  }

  function copy(source, depth) {
    const name = source.localName;
    if (source.namespaceURI !== MATHML || !ELEMENTS.has(name)) throw new RangeError(name);
    if (++made > MOST_ELEMENTS || depth > DEEPEST) throw new RangeError("too large");
    if (name === "mfenced") return fenced(source, depth);
    const element = document.createElementNS(MATHML, name === "math" ? "mrow" : name);
    for (const { name: attribute, value } of source.attributes) {
      if (ATTRIBUTES.has(attribute)) element.setAttribute(attribute, value);
    }
    if (LEAVES.has(name)) {
      if (source.children.length) throw new RangeError(name);
      element.append(name === "mn" ? readable(source.textContent) : source.textContent);
    } else for (const child of source.children) element.append(copy(child, depth + 1));
    return element;
  }

  try {
    const math = document.createElementNS(MATHML, "math");
    math.append(copy(parsed.documentElement, 0));
    return math;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** A formula, rendered; its text stands in where there is no MathML for it, and is what screen readers are told. */
export function Maths({ mathml, formula, block = false }) {
  const place = useRef(null);
  useLayoutEffect(() => {
    const math = mathml ? mathOf(mathml) : null;
    if (math) {
      if (block) math.setAttribute("display", "block");
      if (formula) math.setAttribute("aria-label", formula);
      place.current.replaceChildren(math);
    } else {
      const code = document.createElement("code");
      code.append(formula ?? "");
      place.current.replaceChildren(code);
    }
  }, [mathml, formula, block]);
  return html`<span class=${block ? "maths maths-block" : "maths"} title=${block ? undefined : formula} ref=${place}></span>`;
}
