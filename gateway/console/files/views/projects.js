// All projects the key may see, and a new one.

import { element } from "../dom.js";
import { count, moment } from "../format.js";
import { form, textField } from "../forms.js";
import { sumOfBucket } from "../usage_chart.js";

export async function projectsPage({ api, again }) {
  const [projects, today] = await Promise.all([
    api.all("/v1/organization/projects", { include_archived: true }),
    usageOfToday(api),
  ]);
  const rows = projects.map((project) => {
    const used = today.get(project.id);
    return element("tr", {},
      element("td", {}, element("a", { href: `#/projects/${project.id}` }, project.name || project.id)),
      element("td", {}, element("code", {}, project.id)),
      element("td", {}, element("span", { class: `state ${project.status}` }, project.status)),
      element("td", { class: "number" }, used ? count(used.requests) : today.known ? "0" : "–"),
      element("td", { class: "number" }, used ? count(used.input + used.output) : today.known ? "0" : "–"),
      element("td", {}, moment(project.created_at)));
  });
  return element("div", {},
    element("div", { class: "head" }, element("h1", {}, "Projects")),
    projects.length === 0
      ? element("p", { class: "notice" }, "There is no project yet. A project has quotas and pays; its keys let clients in.")
      : element("div", { class: "scroll" }, element("table", {},
        element("thead", {}, element("tr", {},
          element("th", {}, "Name"), element("th", {}, "Id"), element("th", {}, "State"),
          element("th", { class: "number" }, "Requests today"), element("th", { class: "number" }, "Tokens today"),
          element("th", {}, "Created"))),
        element("tbody", {}, rows))),
    element("h2", {}, "New project"),
    form({
      class: "line",
      button: "Create project",
      fields: [textField("name", "Name", { required: true, maxlength: 200, hint: "For people; limits are set on its page." })],
      submit: async ({ name }) => {
        const project = await api.post("/v1/organization/projects", { name });
        location.hash = `#/projects/${project.id}/limits`;
      },
      done: again,
    }));
}

// By project id; `known` is false when the key may not read usage.
async function usageOfToday(api) {
  const start = Math.floor(Date.now() / 86_400_000) * 86400;
  const found = new Map();
  try {
    const page = await api.get("/v1/organization/usage/completions", {
      start_time: start, bucket_width: "1d", limit: 1, group_by: ["project_id"],
    });
    for (const bucket of page.data) {
      for (const result of bucket.results) {
        found.set(result.project_id, sumOfBucket({ start_time: bucket.start_time, results: [result] }));
      }
    }
    found.known = true;
  } catch (error) {
    if (error.status !== 403) throw error;
    found.known = false;
  }
  return found;
}
