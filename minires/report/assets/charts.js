"use strict";
// Draws the charts with plotly.js from the JSON in the page; page.js listens to the reader.

const lines = JSON.parse(document.getElementById("data").textContent).lines;
const state = { quantity: "error", x: "steps", scale: "linear", spread: "band" };
const hidden = new Set(); // places in `lines`

// -- how a line looks ------------------------------------------------------------------------

// The dash tells the kind; colour and marker the depth (and its variant, and the conditions).
const DASHES = { plain: "dash", residual: "solid", other: "dot" };
const MARKERS = ["circle", "square", "diamond", "triangle-up", "star", "x"];
const families = [...new Set(lines.map(family))];

function family(line) {
  return line.section + line.network.replace(/^[^-]*/, "");
}

function place(line) {
  return families.indexOf(family(line)) % MARKERS.length;
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colour(line) {
  return css("--c" + place(line));
}

function faded(hex) {
  const channels = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${channels},0.16)`;
}

function look(line, width) {
  const color = colour(line);
  const symbol = MARKERS[place(line)] + (line.kind === "residual" ? "" : "-open");
  return {
    mode: "lines+markers",
    line: { color, width, dash: DASHES[line.kind] },
    marker: { symbol, color, size: 8, maxdisplayed: 9, line: { color, width: 1.6 } },
  };
}

function shown() {
  return lines.filter((_, i) => !hidden.has(i));
}

function seedName(line, i) {
  return line.finished ? `${line.label}, seed ${line.seeds[i]}` : line.label;
}

// -- curves ----------------------------------------------------------------------------------

const ends = lines.flatMap((l) => Object.values(l.curves).map((c) => c.seconds.at(-1)));
const longest = Math.max(0, ...ends);
const TIMES = [
  [7200, 3600, "hours"],
  [300, 60, "minutes"],
  [0, 1, "seconds"],
];
const [, unit, unitName] = TIMES.find(([from]) => longest >= from);
const X_TITLES = { steps: "iterations", epochs: "epochs", seconds: `training time, ${unitName}` };

function abscissa(line, curve) {
  if (state.x === "epochs") return curve.steps.map((step) => step / line["per epoch"]);
  if (state.x === "seconds") return curve.seconds.map((s) => s && s / unit);
  return curve.steps;
}

function traces(line, name, form) {
  const curve = line.curves[name];
  if (!curve) return [];
  const x = abscissa(line, curve);
  const hover = (state.x === "seconds" ? `%{x:.4~g} ${unitName}, ` : "") + `%{y:${form}}`;
  if (state.spread === "each") return curve.runs.map((y, i) => seed(line, x, y, i, hover));
  const mean = { x, y: curve.mean, name: line.label, ...look(line, line.finished ? 2.4 : 1.3) };
  if (!curve.std) return [{ ...mean, hovertemplate: hover }];
  const spread = curve.std.map((std) => " ± " + rounded(std));
  return [
    band(line, x, curve),
    { ...mean, customdata: spread, hovertemplate: hover + "%{customdata}" },
  ];
}

function seed(line, x, y, i, hovertemplate) {
  return { x, y, name: seedName(line, i), hovertemplate, ...look(line, 1.3) };
}

// A logarithmic axis has no zero: there the band ends well below the mean.
function band(line, x, { mean, std }) {
  const known = mean.map((_, i) => i).filter((i) => mean[i] !== null && std[i] !== null);
  const least = (i) => (state.scale === "log" ? mean[i] / 20 : -Infinity);
  const high = known.map((i) => mean[i] + std[i]);
  const low = known.map((i) => Math.max(mean[i] - std[i], least(i)));
  return {
    x: [...known, ...known.slice().reverse()].map((i) => x[i]),
    y: [...high, ...low.reverse()],
    name: "band",
    mode: "lines",
    fill: "toself",
    fillcolor: faded(colour(line)),
    line: { width: 0 },
    hoverinfo: "skip",
  };
}

function rounded(number) {
  return number === null ? "?" : String(Number(number.toPrecision(2)));
}

function drawCurves(id, name, title, form) {
  const data = shown().flatMap((line) => traces(line, name, form));
  const yaxis = state.scale === "log" ? logarithmic(data) : { type: "linear" };
  const heading = `%{x:,.4~r} ${X_TITLES[state.x]}`;
  const chart = layout({ yTitle: title, yaxis, xTitle: X_TITLES[state.x], heading });
  if (state.x === "seconds") chart.hovermode = "closest"; // no two networks share their times
  chart.uirevision = [state.x, state.scale, name].join(); // a zoom lasts until the axes change
  Plotly.react(id, data, chart, CONFIG);
}

// -- gradients -------------------------------------------------------------------------------

function layerTraces(line, gradients) {
  if (!gradients) return [];
  const each = state.spread === "each";
  return (each ? gradients.runs : [gradients.mean]).map((y, i) => ({
    x: gradients.layers.map((_, k) => k + 1),
    y,
    name: each ? seedName(line, i) : line.label,
    text: gradients.layers,
    hovertemplate: "%{y:.3~g} in %{text}",
    ...look(line, 2),
  }));
}

// The first and the last iteration share their scale.
function drawLayers() {
  const first = shown().flatMap((line) => layerTraces(line, line.gradients[0]));
  const last = shown().flatMap((line) => layerTraces(line, line.gradients.slice(1).at(-1)));
  const yaxis = logarithmic([...first, ...last]);
  const xTitle = "layer, counted from the images";
  const chart = () => layout({ yTitle: "norm", yaxis, xTitle, heading: "layer %{x}" });
  Plotly.react("first", first, chart(), CONFIG);
  Plotly.react("last", last, chart(), CONFIG);
}

// -- axes and colours ------------------------------------------------------------------------

const isCoarse = matchMedia("(pointer: coarse)").matches; // a finger scrolls, it does not zoom
const CONFIG = {
  responsive: true,
  displaylogo: false,
  displayModeBar: isCoarse ? false : "hover",
  modeBarButtons: [["toImage", "resetScale2d"]],
};

function layout({ yTitle, yaxis, xTitle, heading }) {
  const [ink, soft, rule, card] = ["--ink", "--soft", "--rule", "--card"].map(css);
  const clear = "rgba(0,0,0,0)";
  const axis = { gridcolor: rule, linecolor: rule, zeroline: false, fixedrange: isCoarse };
  return {
    xaxis: { ...axis, title: { text: xTitle }, unifiedhovertitle: { text: heading } },
    yaxis: { ...axis, title: { text: yTitle }, automargin: true, ...yaxis },
    hovermode: "x unified",
    dragmode: isCoarse ? false : "zoom",
    showlegend: false,
    paper_bgcolor: clear,
    plot_bgcolor: clear,
    font: { family: "system-ui, sans-serif", size: 13, color: ink },
    margin: { l: 56, r: 12, t: 12, b: 44 },
    hoverlabel: { bgcolor: card, bordercolor: rule, font: { color: ink }, namelength: -1 },
    modebar: { bgcolor: clear, color: soft, activecolor: ink },
  };
}

// Plotly's own marks on a short logarithmic axis are single digits: these are whole numbers.
function logarithmic(data) {
  const values = data.flatMap((trace) => trace.y).filter((value) => value > 0);
  const low = Math.log10(values.reduce((a, b) => Math.min(a, b), Infinity));
  const high = Math.log10(values.reduce((a, b) => Math.max(a, b), 0));
  const margin = 0.05 * (high - low) + 0.02;
  const axis = { type: "log", range: values.length ? [low - margin, high + margin] : [0, 1] };
  if (!values.length || high - low > 2.5) return { ...axis, dtick: 1, exponentformat: "power" };
  const digits = high - low > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const decades = Array.from({ length: 5 }, (_, i) => Math.floor(low) + i);
  const tickvals = decades.flatMap((k) => digits.map((digit) => digit * 10 ** k));
  return { ...axis, tickvals, ticktext: tickvals.map(rounded) };
}

function drawAll() {
  const [name, unitText, form] =
    state.quantity === "error" ? ["error", ", %", ".1f"] : ["loss", ", nats", ".3f"];
  for (const on of ["training", "test"]) {
    drawCurves(on, `${on} ${name}`, `${on} ${name}${unitText}`, form);
  }
  drawCurves("norm", "gradient norm", "norm", ".3~g");
  drawCurves("rate", "learning rate", "learning rate", ".3~g");
  drawLayers();
}
