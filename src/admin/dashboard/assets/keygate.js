// What pages do beside htmx: copy, select, charts. Every page works without it.
"use strict";

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  navigator.clipboard.writeText(text).then(() => {
    button.textContent = "Copied";
  });
});

// A box that ticks all others of a name, and a word about how many are ticked.
function showSelected(name) {
  const boxes = [...document.querySelectorAll(`input[type="checkbox"][name="${name}"]`)];
  const ticked = boxes.filter((box) => box.checked).length;
  for (const all of document.querySelectorAll(`[data-select-all="${name}"]`)) {
    all.hidden = false;
    all.checked = boxes.length > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }
  for (const word of document.querySelectorAll(`[data-selected="${name}"]`)) {
    word.hidden = ticked === 0;
    word.textContent = `${ticked} selected`;
  }
}

document.addEventListener("change", (event) => {
  const all = event.target.dataset.selectAll;
  if (all) {
    for (const box of document.querySelectorAll(`input[type="checkbox"][name="${all}"]`)) {
      box.checked = event.target.checked;
    }
  }
  if (event.target.type === "checkbox") showSelected(all || event.target.name);
});

// A permission ticks the scopes that it stands for.
document.addEventListener("change", (event) => {
  const scopes = event.target.dataset.scopes;
  if (scopes === undefined) return;
  const form = event.target.form;
  for (const scope of scopes.split(" ")) {
    for (const box of form.querySelectorAll('input[name="scope"]')) {
      if (box.value === scope) box.checked = event.target.checked;
    }
  }
});

// A secret that is shown once: leaving before it is stored asks first.
let unstored = false;
window.addEventListener("beforeunload", (event) => {
  if (unstored) event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-stored]")) unstored = false;
});

// Charts: numbers from data-chart, colours from the sheet, drawn anew with the width.
const drawn = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function digits(value) {
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toPrecision(2);
}

function options(chart, width) {
  const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const days = chart.kind === "days";
  const paths = days ? uPlot.paths.bars({ size: [0.7, 40], radius: 0.1 }) : undefined;
  const series = chart.series.map((one) => ({
    label: one.name,
    stroke: colour(one.tone),
    fill: days ? colour(one.tone) : undefined,
    width: days ? 0 : 1.75,
    paths,
    points: { show: false },
  }));
  return {
    width,
    height: 190,
    padding: [10, 8, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    legend: { show: false },
    cursor: { y: false, points: { show: !days } },
    scales: { x: { range: (_, from, to) => (days ? [from - 43200, to + 43200] : [Math.min(from, to - 600), to]) }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
    axes: [
      { ...axis, grid: { show: false }, values: days ? (_, splits) => splits.map((at) => new Date(at * 1000).toISOString().slice(5, 10)) : (_, splits) => splits.map((at) => new Date(at * 1000).toISOString().slice(11, 16)), incrs: days ? [86400, 172800, 604800] : [60, 120, 300, 600, 900, 1800], space: days ? 56 : 72, size: 30 },
      { ...axis, values: (_, splits) => splits.map(digits), size: 56 },
    ],
    series: [{}, ...series],
    hooks: { setCursor: [(plot) => point(plot, chart)] },
  };
}

// What is under the pointer, in words.
function point(plot, chart) {
  let word = plot.root.parentElement.querySelector(".under");
  if (!word) {
    word = document.createElement("p");
    word.className = "under";
    plot.root.parentElement.append(word);
  }
  const place = plot.cursor.idx;
  if (place === null || place === undefined) {
    word.textContent = "";
    return;
  }
  const at = new Date(chart.at[place] * 1000).toISOString();
  const when = chart.kind === "days" ? at.slice(0, 10) : `${at.slice(11, 19)} UTC`;
  const values = chart.series.map((one) => {
    const value = one.values[place];
    return value === null ? `${one.name} –` : `${one.name} ${digits(value)}`;
  });
  word.textContent = `${when}: ${values.join(", ")} ${chart.unit}`;
}

function draw(box) {
  const chart = JSON.parse(box.dataset.chart);
  const width = Math.max(box.clientWidth, 120);
  drawn.get(box)?.destroy();
  drawn.set(box, new uPlot(options(chart, width), [chart.at, ...chart.series.map((one) => one.values)], box));
}

function drawAll(part) {
  if (typeof uPlot === "undefined") return;
  for (const box of part.querySelectorAll("[data-chart]")) draw(box);
  for (const box of [...drawn.keys()]) {
    if (box.isConnected) continue;
    drawn.get(box).destroy();
    drawn.delete(box);
  }
}

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  drawAll(document);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));

// What a page needs once it is there, and a part of it once htmx has put it in.
function ready(part) {
  drawAll(part);
  for (const all of document.querySelectorAll("[data-select-all]")) showSelected(all.dataset.selectAll);
  if (part.querySelector("[data-once]")) unstored = true;
}

const open = new Set();
document.addEventListener("htmx:beforeSwap", (event) => {
  // Whoever is not signed in any more is sent to where that is done.
  if (event.detail.xhr.responseURL.endsWith("/login")) {
    event.detail.shouldSwap = false;
    location.assign("/login");
    return;
  }
  for (const details of event.detail.target.querySelectorAll("details[id]")) {
    details.open ? open.add(details.id) : open.delete(details.id);
  }
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
});
document.addEventListener("htmx:afterSettle", (event) => ready(event.detail.elt));
ready(document);
