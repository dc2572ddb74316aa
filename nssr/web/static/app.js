// The frame around the views: where one is, what the server holds, and the form for the token where it asks for one.

import { html, render, useEffect, useState } from "./vendor/preact-htm.js";
import * as api from "./api.js";
import { plural } from "./format.js";
import { parseRoute, routeTo } from "./routes.js";
import { Datasets } from "./views/datasets.js";
import { History } from "./views/history.js";
import { Job } from "./views/job.js";
import { Library } from "./views/library.js";
import { Login } from "./views/login.js";
import { New } from "./views/new.js";

const TABS = [
  ["new", "New"],
  ["library", "Library"],
  ["datasets", "Tables"],
  ["history", "History"],
];
const TITLES = { new: "New", jobs: "Job", library: "Library", functions: "Function", datasets: "Tables", history: "History" };
const OWNER = { jobs: "history", functions: "library" };
const EVERY = 15000;

function View({ route }) {
  switch (route.page) {
    case "new":
      return html`<${New} dataset=${route.query.dataset ?? ""} task=${route.query.task ?? "fit"} />`;
    case "jobs":
      return html`<${Job} key=${route.name} id=${route.name} />`;
    case "library":
    case "functions":
      return html`<${Library} selected=${route.page === "functions" ? route.name : null} />`;
    case "datasets":
      return html`<${Datasets} />`;
    case "history":
      return html`<${History} kind=${route.query.kind ?? ""} state=${route.query.state ?? ""} />`;
    default:
      return html`<h1>There is no such page</h1><p>The address names “${route.name}”. <a href=${routeTo("new")}>Start from a table</a>.</p>`;
  }
}

/** One line about the server; a failure to get it is left to the views, which say it where it matters. */
function Standing({ route }) {
  const [told, setTold] = useState(null);
  useEffect(() => {
    let current = true;
    const ask = async () => {
      if (document.hidden) return;
      try {
        const answer = await api.about();
        if (current) setTold(answer);
      } catch {
        if (current) setTold(null);
      }
    };
    ask();
    const timer = setInterval(ask, EVERY);
    api.changes.addEventListener("change", ask);
    return () => {
      current = false;
      api.changes.removeEventListener("change", ask);
      clearInterval(timer);
    };
  }, [route]);
  if (!told) return null;
  const busy = (told.jobs?.running ?? 0) + (told.jobs?.queued ?? 0);
  return html`<p class="standing">
    ${plural(told.learned, "learned function")}${busy > 0 && html` · <a href=${routeTo("history")}>${plural(busy, "job")} at work</a>`}
  </p>`;
}

function App() {
  const [route, setRoute] = useState(parseRoute(window.location.hash));
  const [login, setLogin] = useState(null);
  useEffect(() => {
    api.whenUnauthorised(() => new Promise((resolve) => setLogin({ resolve })));
    const moved = () => {
      document.body.dataset.moved = "yes";
      setRoute(parseRoute(window.location.hash));
    };
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    document.title = [route.name, TITLES[route.page], "NSSR"].filter(Boolean).join(" – ");
  }, [route]);
  const signedIn = () => {
    login.resolve();
    setLogin(null);
  };
  const toContent = (event) => {
    event.preventDefault(); // the address after '#' is the route
    document.getElementById("content").focus();
  };
  const here = OWNER[route.page] ?? route.page;
  return html`
    <a class="skip" href="#content" onClick=${toContent}>To the content</a>
    <header class="top">
      <a class="brand" href=${routeTo("new")} aria-label="NSSR, start"><img src="/static/icon.svg" alt="" width="24" height="24" /> NSSR</a>
      <nav aria-label="Pages">
        ${TABS.map(([page, label]) => html`<a href=${routeTo(page)} aria-current=${page === here ? "page" : undefined}>${label}</a>`)}
      </nav>
      <${Standing} route=${route} />
    </header>
    ${login && html`<${Login} onSignedIn=${signedIn} />`}
    <main id="content" tabindex="-1" inert=${login ? true : undefined}><${View} route=${route} /></main>
  `;
}

const place = document.getElementById("app");
place.replaceChildren();
render(html`<${App} />`, place);
