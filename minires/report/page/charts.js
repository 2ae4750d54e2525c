"use strict";
// Draws the charts from the JSON in the page with plotly.js, and listens to the controls.

const lines = JSON.parse(document.getElementById("data").textContent).lines;
const state = { quantity: "error", x: "steps", scale: "linear", spread: "band" };
const hidden = new Set();
const DASHES = { plain: "dash", residual: "solid", other: "dot" };
const MARKERS = ["circle", "square", "diamond", "triangle-up", "star", "x"];
const SHAPES = {
  circle: "M20 4a5 5 0 1 0 .01 0z", square: "M15 4h10v10h-10z", diamond: "M20 2l7 7-7 7-7-7z",
  "triangle-up": "M20 3l6.5 11h-13z", star: "M20 1l2.4 5.3 5.6.6-4.2 3.9 1.2 5.6-5-2.9-5 2.9 1.2-5.6-4.2-3.9 5.6-.6z",
  x: "M15 4l5 3.5 5-3.5-3.5 5 3.5 5-5-3.5-5 3.5 3.5-5z",
};

// One colour and marker for each depth (and option, and conditions); the dash tells the kind.
const families = [...new Set(lines.map(family))];
function family(line) { return line.block + line.network.replace(/^[^-]*/, ""); }
function place(line) { return families.indexOf(family(line)) % MARKERS.length; }
function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function colour(line) { return css("--c" + place(line)); }
function marker(line) { return MARKERS[place(line)] + (line.kind === "residual" ? "" : "-open"); }
function faded(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}
function shown() { return lines.filter((line, i) => !hidden.has(i)); }

// -- curves ----------------------------------------------------------------------------------

const isCoarse = matchMedia("(pointer: coarse)").matches;
const seconds = Math.max(0, ...lines.flatMap((l) => Object.values(l.curves).flatMap((c) => c.seconds)));
const [unit, unitName] = seconds > 7200 ? [3600, "hours"] : seconds > 300 ? [60, "minutes"] : [1, "seconds"];

function abscissa(line, curve) {
  if (state.x === "epochs") return curve.steps.map((step) => step / line["per epoch"]);
  if (state.x === "seconds") return curve.seconds.map((s) => (s === null ? null : s / unit));
  return curve.steps;
}

const X_TITLES = { steps: "iterations", epochs: "epochs", seconds: `training time, ${unitName}` };

function traces(name, form) {
  return shown().filter((line) => line.curves[name]).flatMap((line) => {
    const curve = line.curves[name];
    const x = abscissa(line, curve);
    if (state.spread === "each") {
      return curve.runs.map((y, i) => trace(line, x, y, form, seedName(line, i), 1.3));
    }
    const main = trace(line, x, curve.mean, form, line.label, line.finished ? 2.4 : 1.3, curve.std);
    return curve.std ? [band(line, x, curve), main] : [main];
  });
}

function trace(line, x, y, form, name, width, std) {
  return {
    x, y, name, mode: "lines+markers", customdata: std && std.map((s) => " ± " + rounded(s)),
    line: { color: colour(line), dash: DASHES[line.kind], width },
    marker: { symbol: marker(line), size: 8, maxdisplayed: 9, color: colour(line), line: { width: 1.6, color: colour(line) } },
    hovertemplate: `%{y:${form}}${std ? "%{customdata}" : ""}`,
  };
}

function seedName(line, i) { return line.finished ? `${line.label}, seed ${line.seeds[i]}` : line.label; }

function rounded(number) { return number === null ? "?" : String(Number(number.toPrecision(2))); }

function band(line, x, curve) {
  const inside = curve.mean.map((m, i) => i).filter((i) => curve.mean[i] !== null && curve.std[i] !== null);
  const high = inside.map((i) => curve.mean[i] + curve.std[i]);
  const low = inside.map((i) => Math.max(curve.mean[i] - curve.std[i], state.scale === "log" ? curve.mean[i] / 20 : -Infinity));
  const along = inside.map((i) => x[i]);
  return {
    x: along.concat(along.slice().reverse()), y: high.concat(low.reverse()), fill: "toself", mode: "lines",
    fillcolor: faded(colour(line), 0.16), line: { width: 0 }, hoverinfo: "skip", showlegend: false, name: "band",
  };
}

function draw(id, name, title, form) {
  const data = traces(name, form);
  const closest = state.x === "seconds";
  if (closest) data.forEach((t) => { if (t.hovertemplate) t.hovertemplate = `%{x:.4~g} ${unitName}, ` + t.hovertemplate; });
  const layout = common(title, data);
  layout.xaxis = { ...layout.xaxis, title: { text: X_TITLES[state.x] }, hoverformat: ",.4~r", unifiedhovertitle: { text: `%{x:,.4~r} ${X_TITLES[state.x]}` } };
  layout.hovermode = closest ? "closest" : "x unified";
  layout.uirevision = [state.x, state.scale, name].join();
  Plotly.react(id, data, layout, CONFIG);
}

const CONFIG = {
  responsive: true, displaylogo: false, displayModeBar: isCoarse ? false : "hover",
  modeBarButtons: [["toImage", "resetScale2d"]],
};

function common(title, data) {
  const axis = { gridcolor: css("--rule"), zeroline: false, linecolor: css("--rule"), automargin: true, fixedrange: isCoarse };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    font: { family: "system-ui, sans-serif", size: 13, color: css("--ink") }, margin: { l: 56, r: 12, t: 12, b: 44 },
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--rule"), font: { color: css("--ink") }, namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--ink") },
    dragmode: isCoarse ? false : "zoom", xaxis: { ...axis }, yaxis: { ...axis, title: { text: title }, ...scaled(data) },
  };
}

function scaled(data) { return state.scale === "log" ? logarithmic(data) : { type: "linear" }; }

// Plotly's own marks on a short logarithmic axis are single digits: these are whole numbers.
function logarithmic(data) {
  const values = data.flatMap((t) => t.y).filter((v) => v > 0);
  const [low, high] = [Math.min(...values), Math.max(...values)].map(Math.log10);
  if (!values.length || high - low > 2.5) return { type: "log", dtick: 1, exponentformat: "power" };
  const marks = [];
  for (let k = Math.floor(low); k <= high; k++) {
    for (const digit of high - low > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8]) marks.push(digit * 10 ** k);
  }
  return { type: "log", tickvals: marks, ticktext: marks.map((m) => String(Number(m.toPrecision(2)))) };
}

// -- gradients -------------------------------------------------------------------------------

function layerTraces(line, gradients) {
  const each = state.spread === "each";
  return (each ? gradients.runs : [gradients.mean]).map((y, i) => ({
    ...trace(line, gradients.layers.map((_, k) => k + 1), y, ".3~g", each ? seedName(line, i) : line.label, 2),
    text: gradients.layers, hovertemplate: "%{y:.3~g} in %{text}",
  }));
}

function drawLayers() {
  const of = (moment) => shown().filter(moment).flatMap((line) => layerTraces(line, moment(line)));
  const charts = { first: of((line) => line.gradients[0]), last: of((line) => line.gradients.slice(1).at(-1)) };
  const both = [...charts.first, ...charts.last];
  const values = both.flatMap((t) => t.y).filter((v) => v > 0).map(Math.log10);
  for (const [id, data] of Object.entries(charts)) {
    const layout = common("norm", both);
    layout.yaxis = { ...layout.yaxis, ...logarithmic(both), range: [Math.min(...values) - 0.15, Math.max(...values) + 0.15] };
    layout.xaxis = { ...layout.xaxis, title: { text: "layer, counted from the images" }, unifiedhovertitle: { text: "layer %{x}" } };
    layout.hovermode = "x unified";
    Plotly.react(id, data, layout, CONFIG);
  }
}

// -- the page --------------------------------------------------------------------------------

function drawAll() {
  const [name, form] = state.quantity === "error" ? ["error", ".1f"] : ["loss", ".3f"];
  const unitText = state.quantity === "error" ? ", %" : ", nats";
  draw("training", "training " + name, "training " + name + unitText, form);
  draw("test", "test " + name, "test " + name + unitText, form);
  draw("norm", "gradient norm", "norm", ".3~g");
  draw("rate", "learning rate", "learning rate", ".3~g");
  drawLayers();
}

function sample(line) {
  const dash = { plain: "5 3", residual: "none", other: "1.5 3" }[line.kind];
  const fill = line.kind === "residual" ? colour(line) : css("--card");
  return `<svg width="40" height="18" aria-hidden="true"><path d="M0 9h40" stroke="${colour(line)}" stroke-width="2.4" stroke-dasharray="${dash}"/>` +
    `<path d="${SHAPES[MARKERS[place(line)]]}" fill="${fill}" stroke="${colour(line)}" stroke-width="1.6"/></svg>`;
}

function drawLegend() {
  const legend = document.querySelector(".legend");
  legend.replaceChildren(...lines.map((line, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.innerHTML = sample(line);
    button.append(line.label);
    button.setAttribute("aria-pressed", String(!hidden.has(i)));
    button.onclick = () => {
      if (!hidden.delete(i)) hidden.add(i);
      button.setAttribute("aria-pressed", String(!hidden.has(i)));
      drawAll();
    };
    return button;
  }));
}

function listen() {
  for (const input of document.querySelectorAll(".choice input")) {
    input.onchange = () => { state[input.name] = input.value; drawAll(); };
  }
}

function disableWhatIsMissing() {
  const missing = {
    epochs: lines.some((l) => !l["per epoch"]),
    seconds: lines.some((l) => Object.values(l.curves).some((c) => c.seconds.includes(null))),
    each: lines.every((l) => l.seeds.length < 2),
  };
  for (const [value, isMissing] of Object.entries(missing)) {
    const input = document.querySelector(`.choice input[value="${value}"]`);
    input.disabled = isMissing;
    if (isMissing) input.parentElement.title = value === "each" ? "there is one seed" : "not recorded in these runs";
  }
}

// For paper: light colours, all details open, charts as wide as a page.
function fitPaper(isPrinting) {
  const root = document.documentElement;
  if (isPrinting) root.dataset.printing = ""; else delete root.dataset.printing;
  for (const details of document.querySelectorAll("details")) {
    if (isPrinting) { details.dataset.was = details.open; details.open = true; } else details.open = details.dataset.was === "true";
  }
  drawLegend();
  drawAll();
  for (const chart of document.querySelectorAll(".chart.js-plotly-plot")) {
    Plotly.relayout(chart, isPrinting ? { width: 335, height: 285, autosize: false } : { width: null, height: null, autosize: true });
  }
}

async function unpack(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function start() {
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  document.documentElement.classList.add("ready");
  drawLegend();
  disableWhatIsMissing();
  listen();
  drawAll();
  addEventListener("beforeprint", () => fitPaper(true));
  addEventListener("afterprint", () => fitPaper(false));
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { drawLegend(); drawAll(); };
  for (const details of document.querySelectorAll("details")) details.ontoggle = () => dispatchEvent(new Event("resize"));
}

start().catch((error) => {
  document.documentElement.classList.remove("ready");
  document.querySelector(".old").hidden = false;
  console.error(error);
});
