// What everybody has used, and what it costs.

import { element } from "../dom.js";
import { count, money, percent } from "../format.js";
import { sumOfBucket, usageChart } from "../usage_chart.js";

const DAYS = 30;

export async function usagePage({ api, left }) {
  const start = (Math.floor(Date.now() / 86_400_000) - DAYS + 1) * 86400;
  const [usage, costs, projects] = await Promise.all([
    api.get("/v1/organization/usage/completions", { start_time: start, bucket_width: "1d", limit: DAYS, group_by: ["project_id"] }),
    costsByProject(api, start),
    namesOfProjects(api),
  ]);
  const byProject = new Map();
  for (const result of usage.data.flatMap((bucket) => bucket.results)) {
    const results = byProject.get(result.project_id) ?? [];
    byProject.set(result.project_id, [...results, result]);
  }
  const rows = [...byProject].map(([id, results]) => ({ id, ...sumOfBucket({ results }) }))
    .sort((one, other) => other.input + other.output - one.input - one.output);
  const titles = ["Requests", "Input", "Cached", "Output", "Reasoning", costs && "Cost"].filter(Boolean);
  return element("div", {},
    element("div", { class: "head" }, element("h1", {}, "Usage")),
    usageChart(api, null, left),
    element("h2", {}, `By project, last ${DAYS} days`),
    rows.length === 0
      ? element("p", { class: "notice" }, "Nothing has been used in this time.")
      : element("div", { class: "scroll" }, element("table", {},
        element("thead", {}, element("tr", {}, element("th", {}, "Project"),
          titles.map((title) => element("th", { class: "number" }, title)))),
        element("tbody", {}, rows.map((row) => element("tr", {},
          element("td", {}, element("a", { href: `#/projects/${row.id}` }, projects.get(row.id) || row.id)),
          [
            count(row.requests), count(row.input), percent(row.cached, row.input), count(row.output),
            percent(row.reasoning, row.output), costs && (costs.get(row.id) ?? "–"),
          ].filter((cell) => cell !== null).map((cell) => element("td", { class: "number" }, cell))))))));
}

async function namesOfProjects(api) {
  try {
    const projects = await api.all("/v1/organization/projects", { include_archived: true });
    return new Map(projects.map(({ id, name }) => [id, name]));
  } catch (error) {
    if (error.status !== 403) throw error;
    return new Map();
  }
}

// As text by project id; null when nobody has set prices, or the key may not see them.
async function costsByProject(api, start) {
  let page;
  try {
    page = await api.get("/v1/organization/costs", { start_time: start, limit: DAYS, group_by: ["project_id"] });
  } catch (error) {
    if (![403, 404].includes(error.status)) throw error;
    return null;
  }
  const sums = new Map();
  let currency = null;
  for (const result of page.data.flatMap((bucket) => bucket.results)) {
    currency ??= result.amount.currency;
    sums.set(result.project_id, (sums.get(result.project_id) ?? 0) + Number(result.amount.value));
  }
  if (currency === null) return null;
  return new Map([...sums].map(([id, sum]) => [id, money(sum, currency)]));
}
