// The console: who has signed in, which page is shown, and the frame around it.
//
// A page is an async function (context) -> element. It is made anew whenever the address
// changes; what it started (a timer) ends with context.left.

import { Api, ApiError } from "./api.js";
import { element, replaceChildren } from "./dom.js";
import { auditPage } from "./views/audit.js";
import { projectPage } from "./views/project.js";
import { projectsPage } from "./views/projects.js";
import { signIn } from "./views/sign_in.js";
import { usagePage } from "./views/usage.js";

// For this tab only, and gone when it is closed.
const KEPT_AS = "gateway admin key";

const root = document.getElementById("console");
let leave = new AbortController();

const PAGES = [
  { pattern: /^#\/projects$/, page: projectsPage, title: "Projects", address: "#/projects" },
  { pattern: /^#\/usage$/, page: usagePage, title: "Usage", address: "#/usage" },
  { pattern: /^#\/audit$/, page: auditPage, title: "Audit log", address: "#/audit" },
  { pattern: /^#\/projects\/([0-9A-Za-z_-]+)(?:\/(usage|keys|limits))?$/, page: projectPage, within: "#/projects" },
];

function show() {
  leave.abort();
  leave = new AbortController();
  const key = sessionStorage.getItem(KEPT_AS);
  if (key === null) {
    showSignIn();
    return;
  }
  const address = location.hash || "#/projects";
  const found = PAGES.map((each) => ({ ...each, match: address.match(each.pattern) })).find(({ match }) => match);
  if (!found) {
    location.replace("#/projects");
    return;
  }
  const content = element("main", { "aria-busy": "true" }, element("p", { class: "quiet" }, "Loading…"));
  replaceChildren(root, frame(found.within ?? found.address, content));
  fill(content, found, key, leave.signal);
}

async function fill(content, { page, match }, key, left) {
  const api = new Api(key, (error) => signedOut(error.message));
  let shown;
  try {
    shown = await page({ api, left, arguments: match.slice(1), again: show });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    shown = failure(error);
  }
  // Somebody has gone on to another page meanwhile.
  if (left.aborted) return;
  content.removeAttribute("aria-busy");
  replaceChildren(content, shown);
}

function failure(error) {
  return element("div", { class: "notice failed", role: "alert" }, element("p", {}, error.message),
    error.status === 403 && element("p", { class: "quiet" }, "Your key has no permission for this page; others may be open to you."));
}

function frame(current, content) {
  const links = PAGES.filter(({ title }) => title).map(({ address, title }) =>
    element("a", { href: address, "aria-current": address === current ? "page" : null }, title));
  return element("div", { class: "frame" },
    element("nav", {},
      element("strong", {}, "Gateway"),
      links,
      element("button", { type: "button", onclick: () => signedOut(null) }, "Sign out")),
    content);
}

function showSignIn(reason = null) {
  replaceChildren(root, signIn(reason, (key) => {
    sessionStorage.setItem(KEPT_AS, key);
    show();
  }));
}

function signedOut(reason) {
  leave.abort();
  sessionStorage.removeItem(KEPT_AS);
  showSignIn(reason);
}

window.addEventListener("hashchange", show);
show();
