// The usage page: draws charts from the data of its tables.
import "./filters.js";
import { roundTokens, usd } from "./format.js";

const HEIGHT = 240;
const MAX_WIDE_LABELS = 16;

const plots = [...document.querySelectorAll("[data-plot]")].map((host) => ({
  host,
  data: JSON.parse(document.getElementById(host.dataset.plot).textContent),
  chart: null,
}));

// A canvas cannot read custom properties, so the browser computes their current color.
function readColor(property) {
  const probeElement = document.createElement("i");
  probeElement.style.color = `var(${property})`;
  document.body.append(probeElement);
  const color = getComputedStyle(probeElement).color;
  probeElement.remove();
  return color;
}

// Stacked bars: each series is drawn up to the sum of itself and those below it, the highest
// first, so that the lower ones cover their own part.
function stackSeries(series) {
  const sums = [];
  let runningSums = series[0].values.map(() => 0);
  for (const row of series) {
    runningSums = runningSums.map((sum, index) => sum + row.values[index]);
    sums.push(runningSums);
  }
  return sums;
}

function tooltipRow(name, value, color) {
  const row = document.createElement("span");
  if (color !== undefined) {
    const swatch = document.createElement("i");
    swatch.className = `swatch c${color}`;
    row.append(swatch);
  }
  const valueLabel = document.createElement("b");
  valueLabel.textContent = value;
  row.append(name, valueLabel);
  return row;
}

/** Adds the tooltip of a chart; the returned function moves it to the cursor. */
function createTooltip(plot) {
  const box = document.createElement("div");
  box.className = "plot-tooltip";
  box.hidden = true;
  plot.host.append(box);
  return ({ cursor, over }) => {
    const index = cursor.idx;
    box.hidden = index === null || index === undefined || cursor.left < 0;
    if (box.hidden) return;
    const title = document.createElement("strong");
    title.textContent = plot.data.captions[index];
    const rows = plot.data.series
      .filter((series) => series.labels[index] !== "—")
      .map((series) => tooltipRow(series.name, series.labels[index], series.color))
      .reverse();
    box.replaceChildren(title, ...rows, tooltipRow("", plot.data.totals[index]));
    const left = over.offsetLeft + cursor.left;
    const maxLeft = plot.host.clientWidth - box.offsetWidth - 4;
    const tooltipLeft = left + 16 > maxLeft ? left - box.offsetWidth - 16 : left + 16;
    box.style.translate = `${Math.max(0, Math.min(tooltipLeft, maxLeft))}px 0.25rem`;
  };
}

function draw(plot) {
  const { captions, series, unit } = plot.data;
  const line = readColor("--line");
  const muted = readColor("--muted");
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const sums = stackSeries(series);
  const bars = uPlot.paths.bars({ size: [0.72, 48], gap: 0, radius: 0 });
  plot.chart?.destroy();
  plot.host.replaceChildren();
  const updateTooltip = createTooltip(plot);
  const rows = series.map((row, index) => ({ row, sum: sums[index] })).reverse();
  plot.chart = new uPlot(
    {
      width: plot.host.clientWidth,
      height: HEIGHT,
      padding: [10, 4, 0, 0],
      legend: { show: false },
      cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: [-0.6, captions.length - 0.4] },
        y: { range: (chart, low, high) => [0, high > 0 ? high * 1.06 : 1] },
      },
      axes: [
        {
          stroke: muted,
          font,
          grid: { show: false },
          ticks: { show: false },
          size: 26,
          incrs: [1, 2, 3, 5, 7, 10, 14, 15, 30],
          space: captions.length > MAX_WIDE_LABELS ? 46 : 30,
          values: (chart, splits) => splits.map((index) => captions[index] ?? ""),
        },
        {
          stroke: muted,
          font,
          grid: { stroke: line, width: 1 },
          ticks: { show: false },
          size: 64,
          values: (chart, splits) => splits.map(unit === "usd" ? usd : roundTokens),
        },
      ],
      series: [
        {},
        ...rows.map(({ row }) => ({
          fill: readColor(`--series-${row.color}`),
          width: 0,
          paths: bars,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [updateTooltip] },
    },
    [captions.map((_, index) => index), ...rows.map(({ sum }) => sum)],
    plot.host,
  );
}

function drawAll() {
  plots.forEach(draw);
}

drawAll();
new ResizeObserver(() => {
  for (const plot of plots) plot.chart.setSize({ width: plot.host.clientWidth, height: HEIGHT });
}).observe(document.getElementById("choices"));
new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
