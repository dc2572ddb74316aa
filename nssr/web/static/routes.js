// The address after '#' is the whole state of the page that is worth coming back to, so that reload, the back button and a
// bookmark work without anything else being kept.

const PAGES = new Set(["new", "jobs", "library", "functions", "datasets", "history"]);
const START = { page: "new", name: "", query: {} };

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign typed by hand
  }
}

export function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page, ...rest] = path.split("/");
  if (page === "") return START;
  if (!PAGES.has(page)) return { page: "missing", name: path, query: {} };
  return { page, name: decoded(rest.join("/")), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function routeTo(page, name = "", query = {}) {
  const asked = new URLSearchParams(query).toString();
  return `#/${page}${name === "" ? "" : "/" + encodeURIComponent(name)}${asked ? "?" + asked : ""}`;
}

export function go(hash) {
  window.location.hash = hash;
}

/** The address changes, but "back" does not lead to how it was: for choices inside one page. */
export function replaceRoute(hash) {
  window.history.replaceState(null, "", hash);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}
