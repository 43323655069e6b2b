// A bar chart of stacked series over time, in SVG.

import { drawn, element } from "./dom.js";
import { short } from "./format.js";

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 52;
const BOTTOM = 24;
const TOP = 10;

// buckets: [{label, values: {series: number}}], oldest first; series: [{name, title}], from the
// bottom up. Returns an element whose description says in words what it shows.
export function stackedBars(buckets, series, describe) {
  const sums = buckets.map((bucket) => series.reduce((sum, { name }) => sum + bucket.values[name], 0));
  const top = niceTop(Math.max(...sums, 0));
  const plotHeight = HEIGHT - TOP - BOTTOM;
  const y = (value) => TOP + plotHeight * (1 - value / top);
  const step = (WIDTH - LEFT) / buckets.length;

  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => [
    drawn("line", { x1: LEFT, x2: WIDTH, y1: y(part * top), y2: y(part * top), class: "grid" }),
    drawn("text", { x: LEFT - 8, y: y(part * top) + 4, class: "tick", "text-anchor": "end" }, short(part * top)),
  ]);
  const bars = buckets.map((bucket, position) => {
    let below = 0;
    const parts = series.map(({ name }) => {
      const value = bucket.values[name];
      const bar = drawn("rect", {
        x: LEFT + position * step + step * 0.12,
        width: Math.max(step * 0.76, 0.5),
        y: y(below + value),
        height: Math.max(plotHeight * (value / top), 0),
        class: `bar ${name}`,
      });
      below += value;
      return bar;
    });
    // The whole column answers the pointer, not only what is drawn in it.
    const column = drawn("rect", { x: LEFT + position * step, width: step, y: TOP, height: plotHeight, class: "column" });
    return drawn("g", {}, drawn("title", {}, describe(bucket)), parts, column);
  });
  const every = Math.ceil(buckets.length / 8);
  const labels = buckets.map((bucket, position) =>
    position % every === 0
      ? drawn("text", { x: LEFT + (position + 0.5) * step, y: HEIGHT - 6, class: "tick", "text-anchor": "middle" }, bucket.label)
      : null);
  const legend = element("div", { class: "legend" },
    series.map(({ name, title }) => element("span", { class: name }, title)));
  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary(buckets, series, sums) },
    grid, bars, labels);
  return element("figure", { class: "chart" }, picture, legend);
}

function summary(buckets, series, sums) {
  if (!sums.some((sum) => sum > 0)) return "Nothing was used in this time.";
  const highest = sums.indexOf(Math.max(...sums));
  const titles = series.map(({ title }) => title).join(", ");
  return `${titles} from ${buckets[0].label} to ${buckets.at(-1).label}; most at ${buckets[highest].label}: ${short(sums[highest])}.`;
}

// The next of 1, 2, 4, 5, 10, 20 ... : its quarters are numbers that can be read.
function niceTop(value) {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((factor) => factor * power).find((top) => top >= value);
}
