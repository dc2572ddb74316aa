// The HTTP contract of docs/service.md, one function per request. A refusal is thrown as a Problem whose text is for people.

export class Problem extends Error {
  constructor(status, detail, errors = [], retryAfter = null) {
    super(detail);
    this.status = status;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }
}

/** Tells "change" when something was asked for that alters what the server holds. */
export const changes = new EventTarget();

let askForToken = null;
let signingIn = null;

/** `ask` shows the form for the token; its promise is kept when somebody is signed in. */
export function whenUnauthorised(ask) {
  askForToken = ask;
}

/** All requests that were refused meanwhile wait for the same form, then go out again: nothing typed is lost. */
function signIn() {
  signingIn ??= askForToken().finally(() => {
    signingIn = null;
  });
  return signingIn;
}

async function problemOf(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // a proxy's page, or a connection cut short: the status has to do
  }
  const detail = typeof told.detail === "string" && told.detail ? told.detail : told.title;
  const retry = Number(response.headers.get("Retry-After"));
  return new Problem(
    response.status,
    detail || `The server answered ${response.status} ${response.statusText}.`,
    Array.isArray(told.errors) ? told.errors : [],
    Number.isFinite(retry) && retry > 0 ? retry : null,
  );
}

async function send(path, { method = "GET", body, type = "application/json", signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server did not answer. Is it still running, and is this machine still connected to it?");
  }
  return response;
}

async function request(path, options = {}) {
  let response = await send(path, options);
  while (response.status === 401 && askForToken) {
    await signIn();
    response = await send(path, options);
  }
  if (!response.ok) throw await problemOf(response);
  if (options.method && options.method !== "GET") changes.dispatchEvent(new Event("change"));
  return response;
}

async function json(path, options) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

const post = (path, content) => json(path, { method: "POST", body: JSON.stringify(content) });
const remove = (path) => json(path, { method: "DELETE" });
const part = encodeURIComponent;

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? "?" + new URLSearchParams(given) : "";
}

/** Not through `request`: here 401 is the answer "wrong token" and no reason to ask once more. */
export async function login(token) {
  const response = await send("/login", { method: "POST", body: JSON.stringify({ token }) });
  if (!response.ok) throw await problemOf(response);
}

export const about = () => json("/");

export const datasets = () => json("/datasets");
export const dataset = (name, rows = 20) => json(`/datasets/${part(name)}${query({ rows })}`);
export const addDataset = (content) => post("/datasets", content);
export const deleteDataset = (name) => remove(`/datasets/${part(name)}`);
export const uploadCsv = (body, { name, target, description }, signal) =>
  json(`/datasets/upload${query({ name, target, description })}`, { method: "POST", body, type: "text/csv", signal });

export const fit = (spec) => post("/fit", spec);
export const train = (spec) => post("/train", spec);
export const evaluate = (datasetName) => post("/test/eval", { dataset_name: datasetName });
export const jobs = (asked = {}) => json(`/jobs${query(asked)}`);
export const job = (id) => json(`/jobs/${part(id)}`);
export const cancelJob = (id) => remove(`/jobs/${part(id)}`);
export const keep = (id, content) => post(`/jobs/${part(id)}/keep`, content);
export const eventsPath = (id) => `/jobs/${part(id)}/events`;
export const history = () => json("/history");

export const functions = () => json("/functions");
export const oneFunction = (name) => json(`/functions/${part(name)}`);
export const deleteFunction = (name) => remove(`/functions/${part(name)}`);
export const exportPath = (name, format) => `/functions/${part(name)}/export${query({ format })}`;
export const exported = async (name, format) => (await request(exportPath(name, format), { accept: "*/*" })).text();
export const importLibrary = (text) => json("/library/import", { method: "POST", body: text });
export const reset = (withDatasets) => post("/reset", { confirm: "reset", datasets: withDatasets });

/** Cells stay text on their way out, and whole numbers beyond 2**53 on their way back, so that no digit is rounded off. */
export async function predict(name, rows) {
  const inputs = rows.map((row) => `[${row.join(",")}]`).join(",");
  const response = await request("/predict", { method: "POST", body: `{"function":${JSON.stringify(name)},"inputs":[${inputs}]}` });
  return JSON.parse(await response.text(), (key, value, context) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value,
  );
}

/** A table under `name`, or under the first of `name-2`, `name-3`, ... that nothing has yet. */
export async function withFreeName(name, add) {
  for (let number = 1; ; number++) {
    try {
      return await add(number === 1 ? name : `${name}-${number}`);
    } catch (problem) {
      if (problem.status !== 409 || number >= 50) throw problem;
    }
  }
}
