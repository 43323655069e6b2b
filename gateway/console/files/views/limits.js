// What a project may use: rates and budgets, and how much of the budgets is spent.

import { drawn, element } from "../dom.js";
import { count } from "../format.js";
import { choiceField, form, numberField } from "../forms.js";

const RATES = [
  ["requests_per_minute", "Requests per minute"],
  ["tokens_per_minute", "Tokens per minute", "Input and output together."],
  ["input_tokens_per_minute", "Input tokens per minute"],
  ["output_tokens_per_minute", "Output tokens per minute"],
  ["concurrent_requests", "Requests at once"],
];
const BUDGETS = [
  ["daily_tokens", "daily_mode", "Tokens per day", "Days begin at midnight UTC."],
  ["monthly_tokens", "monthly_mode", "Tokens per month", "Months begin at midnight UTC."],
];
const RATE_MODES = [["hard", "refuse what exceeds them"], ["shadow", "only count what would be refused"]];
const BUDGET_MODES = [
  ["hard", "hard: never exceeded"],
  ["soft", "soft: refuse once it is spent"],
  ["shadow", "shadow: only count what would be refused"],
];

export async function limitsTab(api, project, again) {
  const path = `/v1/organization/projects/${project.id}/limits`;
  const state = await api.get(path);
  const { limits } = state;
  return element("div", {},
    spending(state),
    form({
      button: "Save limits",
      fields: [
        element("h2", {}, "Rates"),
        element("div", { class: "fields" },
          RATES.map(([name, title, hint]) => numberField(name, title, { value: limits[name], hint })),
          choiceField("rate_mode", "These limits", RATE_MODES, { value: limits.rate_mode })),
        element("h2", {}, "Budgets"),
        element("div", { class: "fields" },
          BUDGETS.map(([name, mode, title, hint]) => [
            numberField(name, title, { value: limits[name], hint }),
            choiceField(mode, `${title}: what happens`, BUDGET_MODES, { value: limits[mode] }),
          ])),
      ],
      submit: (values) => api.post(path, sent(values)),
      done: again,
    }),
    element("p", { class: "quiet" }, "A change holds from the next request on, on every gateway."));
}

function spending({ limits, used }) {
  const shown = BUDGETS.filter(([name]) => limits[name] !== null && used?.[name] !== undefined);
  return shown.length > 0 && element("div", { class: "tiles" }, shown.map(([name, , title]) => {
    const share = Math.min(used[name] / limits[name], 1);
    return element("div", { class: "tile" },
      element("b", {}, `${Math.round(100 * share)} %`),
      element("span", {}, `${title}: ${count(used[name])} of ${count(limits[name])}`),
      drawn("svg", { class: share > 0.9 ? "share high" : "share", width: "100%", height: 6 },
        drawn("rect", { width: `${100 * share}%`, height: 6 })));
  }));
}

function sent(values) {
  const numbers = [...RATES, ...BUDGETS].map(([name]) => name);
  return Object.fromEntries(Object.entries(values).map(([name, value]) =>
    numbers.includes(name) ? [name, value === "" ? null : Number(value)] : [name, value]));
}
