// Who changed what, newest first.

import { element, replaceChildren } from "../dom.js";
import { moment } from "../format.js";

export async function auditPage({ api }) {
  const body = element("tbody", {});
  const more = element("div", {});

  async function load(after = undefined) {
    const page = await api.get("/v1/organization/audit_logs", { limit: 50, after });
    body.append(...page.data.map(row));
    replaceChildren(more, page.has_more && element("button", { type: "button", onclick: () => load(page.last_id) }, "Older"));
    return page.data.length;
  }

  const found = await load();
  return element("div", {},
    element("div", { class: "head" }, element("h1", {}, "Audit log")),
    element("p", { class: "quiet" }, "Each entry carries the hash of the one before it: none can be changed or taken out unnoticed."),
    found === 0
      ? element("p", { class: "notice" }, "Nothing has been changed yet.")
      : element("div", { class: "scroll" }, element("table", {},
        element("thead", {}, element("tr", {}, ["When", "What", "Of", "Who", "From"].map((title) => element("th", {}, title)))),
        body)),
    more);
}

function row(entry) {
  const actor = entry.actor?.api_key?.id ?? entry.actor?.type ?? "–";
  return element("tr", {},
    element("td", { class: "when" }, moment(entry.effective_at)),
    element("td", {}, entry.type),
    element("td", { class: "changes" }, element("code", {}, entry.target?.id ?? entry.project?.id ?? "–"), changes(entry)),
    element("td", {}, element("code", {}, actor)),
    element("td", {}, entry.actor?.ip_address ?? "–"));
}

// "tokens_per_minute: 1,000 → 2,000", a line each; of what is new only what it is.
function changes({ before, after }) {
  const [old, now] = [flat(before), flat(after)];
  const names = [...new Set([...old.keys(), ...now.keys()])];
  return names.filter((name) => told(old.get(name)) !== told(now.get(name))).map((name) =>
    element("div", { class: "quiet" },
      before === null ? `${name}: ${told(now.get(name))}` : `${name}: ${told(old.get(name))} → ${told(now.get(name))}`));
}

// What is in an object that is in one is a line of its own: limits.tokens_per_minute.
function flat(object, prefix = "") {
  const found = new Map();
  for (const [name, value] of Object.entries(object ?? {})) {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [inner, each] of flat(value, `${prefix}${name}.`)) found.set(inner, each);
    } else {
      found.set(`${prefix}${name}`, value);
    }
  }
  return found;
}

function told(value) {
  if (value === null || value === undefined || value === "") return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
