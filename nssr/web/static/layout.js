// Where each function stands in the picture of the library: a column for each layer, wrapped where it would be too long.

export const NODE = { width: 138, height: 30, gapX: 14, gapY: 8, between: 64, head: 30 };
const LONGEST = 12;

/** `{nodes: [{fn, x, y}], layers: [{layer, count, x, width}], edges: [{from, to}], width, height}` */
export function layoutOf(functions) {
  const byLayer = new Map();
  for (const fn of functions) {
    if (!byLayer.has(fn.layer)) byLayer.set(fn.layer, []);
    byLayer.get(fn.layer).push(fn);
  }
  const nodes = [];
  const layers = [];
  const longest = Math.max(LONGEST, Math.ceil(Math.sqrt(functions.length)));
  let x = 0;
  for (const [layer, members] of [...byLayer].sort(([a], [b]) => a - b)) {
    let across = 0;
    for (const group of groupsOf(members)) {
      const rows = Math.ceil(group.length / Math.ceil(group.length / longest));
      group.forEach((fn, i) => {
        const column = across + Math.floor(i / rows);
        nodes.push({ fn, x: x + column * (NODE.width + NODE.gapX), y: NODE.head + (i % rows) * (NODE.height + NODE.gapY) });
      });
      across += Math.ceil(group.length / rows);
    }
    const width = across * NODE.width + (across - 1) * NODE.gapX;
    layers.push({ layer, count: members.length, x, width });
    x += width + NODE.between;
  }
  const known = new Map(nodes.map((node) => [node.fn.name, node]));
  const edges = nodes.flatMap((to) => (to.fn.uses ?? []).filter((n) => known.has(n)).map((n) => ({ from: known.get(n), to })));
  const height = Math.max(NODE.head, ...nodes.map((n) => n.y + NODE.height)) + 4;
  return { nodes, layers, edges, width: Math.max(0, x - NODE.between), height };
}

/** Primitives in use stand apart, on the right: their lines then cross no others. */
function groupsOf(members) {
  const idle = members.filter((fn) => fn.kind === "primitive" && !fn.used_by?.length);
  return [idle, members.filter((fn) => !idle.includes(fn))].filter((group) => group.length);
}

/** A line from one node to another. Nodes on the way are not crossed: it runs in the gap between two rows, which all columns share. */
export function pathOf({ from, to }, nodes) {
  const y1 = from.y + NODE.height / 2;
  const y2 = to.y + NODE.height / 2;
  const [x1, x2] = [from.x + NODE.width, to.x];
  // Two functions of one column: around the right side, so that the line is seen.
  if (x2 <= x1) return `M${x1} ${y1}C${x1 + 40} ${y1} ${to.x + NODE.width + 40} ${y2} ${to.x + NODE.width} ${y2}`;
  const between = nodes.map((n) => n.x).filter((x) => x > from.x && x < to.x);
  if (!between.length) return `M${x1} ${y1}${curve(x1, y1, x2, y2)}`;
  const enter = Math.min(...between);
  const leave = Math.max(...between) + NODE.width;
  const row = NODE.height + NODE.gapY;
  const gap = NODE.head - NODE.gapY / 2 + row * Math.round(((y1 + y2) / 2 - NODE.head) / row);
  return `M${x1} ${y1}${curve(x1, y1, enter, gap)}H${leave}${curve(leave, gap, x2, y2)}`;
}

function curve(x1, y1, x2, y2) {
  const bend = (x2 - x1) / 2;
  return `C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

/** The node that an arrow key leads to from `node`: the next of its column, or the nearest of the next column. */
export function neighbour(nodes, node, key) {
  const [dx, dy] = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[key];
  const ahead = nodes.filter((n) => (dx ? (n.x - node.x) * dx > 0 : n.x === node.x && (n.y - node.y) * dy > 0));
  const distance = (n) => (dx ? Math.abs(n.x - node.x) * 1000 : 0) + Math.abs(n.y - node.y);
  return ahead.sort((a, b) => distance(a) - distance(b))[0] ?? null;
}
