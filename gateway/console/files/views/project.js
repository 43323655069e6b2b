// One project: its usage, its keys, its limits.

import { element } from "../dom.js";
import { moment } from "../format.js";
import { confirm } from "../forms.js";
import { usageChart } from "../usage_chart.js";
import { keysTab } from "./keys.js";
import { limitsTab } from "./limits.js";

const TABS = [["usage", "Usage"], ["keys", "Keys"], ["limits", "Limits"]];

export async function projectPage({ api, left, arguments: [id, tab = "usage"], again }) {
  const path = `/v1/organization/projects/${id}`;
  const project = await api.get(path);
  const content = tab === "keys" ? await keysTab(api, project, again)
    : tab === "limits" ? await limitsTab(api, project, again)
      : usageChart(api, id, left);
  const archived = project.status === "archived";
  return element("div", {},
    element("div", { class: "head" },
      element("h1", {}, project.name || project.id),
      archived
        ? element("button", { type: "button", onclick: restore }, "Restore…")
        : element("button", { type: "button", class: "danger", onclick: archive }, "Archive…")),
    element("p", { class: "quiet" },
      element("code", {}, project.id), " · created ", moment(project.created_at), " · ",
      element("span", { class: `state ${project.status}` }, project.status)),
    archived && element("p", { class: "notice" }, "Its keys are refused. What it has used, and its bill, are kept."),
    element("nav", { class: "tabs" }, TABS.map(([name, title]) =>
      element("a", { href: `#/projects/${id}/${name}`, "aria-current": name === tab ? "page" : null }, title))),
    content);

  function archive() {
    confirm({
      title: "Archive this project?",
      text: `From its next request on, all keys of ${project.name || project.id} are refused. Its usage and its bill stay.`,
      button: "Archive project",
      act: async () => {
        await api.post(`${path}/archive`);
        again();
      },
    });
  }

  function restore() {
    confirm({
      title: "Restore this project?",
      text: `The keys of ${project.name || project.id} that were not revoked are taken again, within 10 seconds.`,
      button: "Restore project",
      act: async () => {
        await api.post(`${path}/restore`);
        again();
      },
    });
  }
}
