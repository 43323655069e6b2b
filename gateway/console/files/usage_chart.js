// Usage over time: numbers and a chart that keep themselves up to date.

import { stackedBars } from "./chart.js";
import { element, replaceChildren } from "./dom.js";
import { count, day, hourAndMinute, percent } from "./format.js";
import { repeat } from "./live.js";

const SERIES = [{ name: "input", title: "input tokens" }, { name: "output", title: "output tokens" }];

const RANGES = [
  { name: "hour", title: "Last hour", width: "1m", bucketS: 60, buckets: 60, everyS: 5, label: hourAndMinute },
  { name: "day", title: "Last 24 hours", width: "1h", bucketS: 3600, buckets: 24, everyS: 30, label: hourAndMinute },
  { name: "month", title: "Last 30 days", width: "1d", bucketS: 86400, buckets: 30, everyS: 60, label: (at) => day(at).slice(5) },
];

// projectId: of the project; null = all that the key may see.
export function usageChart(api, projectId, left) {
  const tiles = element("div", { class: "tiles", "aria-live": "off" });
  const picture = element("div", {});
  const trouble = element("div", { role: "status" });
  const buttons = RANGES.map((range) =>
    element("button", { type: "button", "data-range": range.name, onclick: () => choose(range) }, range.title));
  let chosen = new AbortController();
  left.addEventListener("abort", () => chosen.abort());

  async function load(range, signal) {
    const now = Math.floor(Date.now() / 1000);
    const start = (Math.floor(now / range.bucketS) - range.buckets + 1) * range.bucketS;
    const page = await api.get("/v1/organization/usage/completions", {
      start_time: start, bucket_width: range.width, limit: range.buckets,
      "project_ids": projectId === null ? null : [projectId],
    });
    if (signal.aborted) return;
    const sums = page.data.map(sumOfBucket);
    replaceChildren(tiles, tilesOf(sums));
    replaceChildren(picture, stackedBars(
      sums.map((sum) => ({ label: range.label(sum.start), values: sum, ...sum })), SERIES,
      (bucket) => `${bucket.label}: ${count(bucket.input)} input, ${count(bucket.output)} output tokens in ${count(bucket.requests)} requests`));
  }

  function choose(range) {
    chosen.abort();
    chosen = new AbortController();
    for (const button of buttons) {
      if (button.dataset.range === range.name) button.setAttribute("aria-pressed", "true");
      else button.removeAttribute("aria-pressed");
    }
    const { signal } = chosen;
    return repeat(() => load(range, signal), range.everyS, signal, (error) => {
      replaceChildren(trouble, error && element("p", { class: "notice failed" }, `Not up to date: ${error.message}`));
    });
  }

  choose(RANGES[0]);
  return element("section", { class: "usage" },
    element("div", { class: "head" },
      element("p", { class: "quiet" }, "Settled responses, by the time of their admission, UTC."),
      element("div", { class: "ranges" }, buttons)),
    trouble, tiles, picture);
}

export function sumOfBucket(bucket) {
  const sum = { start: bucket.start_time, requests: 0, input: 0, cached: 0, output: 0, reasoning: 0 };
  for (const result of bucket.results) {
    sum.requests += result.num_model_requests;
    sum.input += result.input_tokens;
    sum.cached += result.input_cached_tokens;
    sum.output += result.output_tokens;
    sum.reasoning += result.output_reasoning_tokens ?? 0;
  }
  return sum;
}

function tilesOf(sums) {
  const total = (name) => sums.reduce((sum, each) => sum + each[name], 0);
  return [
    ["requests", count(total("requests"))],
    ["input tokens", count(total("input"))],
    ["of them cached", percent(total("cached"), total("input"))],
    ["output tokens", count(total("output"))],
    ["of them reasoning", percent(total("reasoning"), total("output"))],
  ].map(([title, number]) => element("div", { class: "tile" }, element("b", {}, number), element("span", {}, title)));
}
