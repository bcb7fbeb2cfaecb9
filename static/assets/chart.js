// The chart of viewers over time, drawn by uPlot.

import { formatNumber } from "./format.js";
import { loadLibrary } from "./vendor.js";

const LIBRARY_URL = "/vendor/uPlot.iife.min.js";
// Used if this server has no copy. `scripts/vendor` reads the version and the hash from these lines.
const CDN_URL = "https://cdn.jsdelivr.net/npm/uplot@1.6.32/dist/uPlot.iife.min.js";
const CDN_HASH = "sha384-Gx3t0zdBAuQOuvvmaLZj7HKEiSgWTAs+VdtNY7wt19QDPTDQjFIwAuXDj0zeN00c";

const HEIGHT = 260;
const AXIS_FONT = "12px system-ui, sans-serif";
const FEWEST_ROWS = 4;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Only whole numbers of viewers get a line.
const wholeNumbers = (_chart, splits) => splits.map((split) => (Number.isInteger(split) ? formatNumber(split) : ""));

function options(uPlot, width) {
  const axis = { stroke: color("text-muted"), font: AXIS_FONT, grid: { stroke: color("line"), width: 1 } };
  return {
    width,
    height: HEIGHT,
    legend: { show: true, live: true },
    cursor: { y: false },
    scales: { y: { range: (_chart, _least, most) => [0, Math.max(FEWEST_ROWS, most * 1.1)] } },
    axes: [{ ...axis, ticks: { stroke: color("line") } }, { ...axis, ticks: { show: false }, values: wholeNumbers, size: 56 }],
    series: [
      { label: "Time", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" },
      {
        label: "Viewers",
        stroke: color("accent"),
        fill: color("accent-soft"),
        width: 2,
        points: { show: false },
        paths: uPlot.paths.stepped({ align: 1 }),
        value: (_chart, value) => (value == null ? "–" : formatNumber(value)),
      },
    ],
  };
}

// Draws the points `{time, viewers}` into an element, again after each change of its width or of the colours. Returns
// false if the library does not load.
export async function drawChart(place, points) {
  const uPlot = await loadLibrary("uPlot", LIBRARY_URL, CDN_URL, CDN_HASH);
  if (!uPlot) return false;
  const data = [points.map(({ time }) => Date.parse(time) / 1_000), points.map(({ viewers }) => viewers)];
  let chart = null;
  const draw = () => {
    chart?.destroy();
    chart = new uPlot(options(uPlot, place.clientWidth), data, place);
  };
  draw();
  new ResizeObserver(() => {
    if (place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height: HEIGHT });
  }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  return true;
}
