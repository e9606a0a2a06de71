// The usage page: draws the charts of the tables below them.
import { tokens, usd } from "./format.js";

const HEIGHT = 240;
const MAX_WIDE_LABELS = 16;

for (const select of document.querySelectorAll("[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
for (const button of document.querySelectorAll("[data-submit-button]")) button.hidden = true;

const plots = [...document.querySelectorAll("[data-plot]")].map((host) => ({
  host,
  data: JSON.parse(document.getElementById(host.dataset.plot).textContent),
  drawn: null,
}));

// Canvas knows no custom properties: the browser is asked what they are just now.
function colourOf(property) {
  const probeElement = document.createElement("i");
  probeElement.style.color = `var(${property})`;
  document.body.append(probeElement);
  const colour = getComputedStyle(probeElement).color;
  probeElement.remove();
  return colour;
}

// Bars on top of each other: each series is drawn up to the sum of itself and those below,
// the highest first, so that the lower ones cover what is theirs.
function stackSeries(series) {
  const sums = [];
  let runningSums = series[0].values.map(() => 0);
  for (const row of series) {
    runningSums = runningSums.map((sum, index) => sum + row.values[index]);
    sums.push(runningSums);
  }
  return sums;
}

function cell(name, value, colour) {
  const row = document.createElement("span");
  if (colour !== undefined) {
    const swatch = document.createElement("i");
    swatch.className = `swatch c${colour}`;
    row.append(swatch);
  }
  const valueLabel = document.createElement("b");
  valueLabel.textContent = value;
  row.append(name, valueLabel);
  return row;
}

function tip(plot) {
  const box = document.createElement("div");
  box.className = "plot-tip";
  box.hidden = true;
  plot.host.append(box);
  return (u) => {
    const index = u.cursor.idx;
    box.hidden = index === null || index === undefined || u.cursor.left < 0;
    if (box.hidden) return;
    const title = document.createElement("strong");
    title.textContent = plot.data.captions[index];
    const rows = plot.data.series
      .filter((series) => series.labels[index] !== "—")
      .map((series) => cell(series.name, series.labels[index], series.colour))
      .reverse();
    box.replaceChildren(title, ...rows, cell("", plot.data.totals[index]));
    const left = u.over.offsetLeft + u.cursor.left;
    const room = plot.host.clientWidth - box.offsetWidth - 4;
    const beside = left + 16 > room ? left - box.offsetWidth - 16 : left + 16;
    box.style.translate = `${Math.max(0, Math.min(beside, room))}px 0.25rem`;
  };
}

function draw(plot) {
  const { captions, series, unit } = plot.data;
  const line = colourOf("--line");
  const muted = colourOf("--muted");
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const sums = stackSeries(series);
  const bars = uPlot.paths.bars({ size: [0.72, 48], gap: 0, radius: 0 });
  plot.drawn?.destroy();
  plot.host.replaceChildren();
  const show = tip(plot);
  const rows = series.map((row, index) => ({ row, sum: sums[index] })).reverse();
  plot.drawn = new uPlot(
    {
      width: plot.host.clientWidth,
      height: HEIGHT,
      padding: [10, 4, 0, 0],
      legend: { show: false },
      cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: [-0.6, captions.length - 0.4] },
        y: { range: (u, low, high) => [0, high > 0 ? high * 1.06 : 1] },
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
          values: (u, splits) => splits.map((at) => captions[at] ?? ""),
        },
        {
          stroke: muted,
          font,
          grid: { stroke: line, width: 1 },
          ticks: { show: false },
          size: 64,
          values: (u, splits) => splits.map(unit === "usd" ? usd : tokens),
        },
      ],
      series: [
        {},
        ...rows.map(({ row }) => ({
          fill: colourOf(`--series-${row.colour}`),
          width: 0,
          paths: bars,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [show] },
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
  for (const plot of plots) plot.drawn.setSize({ width: plot.host.clientWidth, height: HEIGHT });
}).observe(document.getElementById("choices"));
new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
