"use strict";
// Unpacks plotly.js, and redraws the charts when the reader asks for something else.

// -- the legend ------------------------------------------------------------------------------

// The markers of plotly.js that charts.js uses, around (20, 9).
const SHAPES = {
  circle: "M20 4a5 5 0 1 0 .01 0z",
  square: "M15 4h10v10h-10z",
  diamond: "M20 2l7 7-7 7-7-7z",
  "triangle-up": "M20 3l6.5 11h-13z",
  star: "M20 1l2.4 5.3 5.6.6-4.2 3.9 1.2 5.6-5-2.9-5 2.9 1.2-5.6-4.2-3.9 5.6-.6z",
  x: "M15 4l5 3.5 5-3.5-3.5 5 3.5 5-5-3.5-5 3.5 3.5-5z",
};
const DASH_ARRAYS = { plain: "5 3", residual: "none", other: "1.5 3" };

function sample(line) {
  const stroke = `stroke="${colour(line)}" stroke-width="2"`;
  const fill = line.kind === "residual" ? colour(line) : css("--card");
  return `<svg width="40" height="18" aria-hidden="true">
    <path d="M0 9h40" ${stroke} stroke-dasharray="${DASH_ARRAYS[line.kind]}"/>
    <path d="${SHAPES[MARKERS[place(line)]]}" ${stroke} fill="${fill}"/></svg>`;
}

function legendButton(line, i) {
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
}

function redraw() {
  document.querySelector(".legend").replaceChildren(...lines.map(legendButton));
  drawAll();
}

// -- the controls ----------------------------------------------------------------------------

function listen(input) {
  input.onchange = () => {
    state[input.name] = input.value;
    drawAll();
  };
}

function disable(value, why) {
  const input = document.querySelector(`.choice input[value="${value}"]`);
  input.disabled = true;
  input.parentElement.title = why;
}

function disableWhatIsMissing() {
  const curves = lines.flatMap((line) => Object.values(line.curves));
  if (lines.some((line) => !line["per epoch"])) disable("epochs", "not recorded in these runs");
  if (curves.some((curve) => curve.seconds.includes(null)))
    disable("seconds", "not recorded in these runs");
  if (lines.every((line) => line.seeds.length < 2)) disable("each", "there is one seed");
}

// -- paper -----------------------------------------------------------------------------------

function fitPaper() {
  document.documentElement.dataset.printing = ""; // light colours
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.dataset.closed = "";
    details.open = true;
  }
  redraw();
  resize({ width: 335, height: 285, autosize: false }); // two beside each other on A4
}

function fitScreen() {
  delete document.documentElement.dataset.printing;
  for (const details of document.querySelectorAll("details[data-closed]")) {
    delete details.dataset.closed;
    details.open = false;
  }
  redraw();
  resize({ width: null, height: null, autosize: true });
}

function resize(size) {
  for (const chart of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(chart, size);
}

// -- the start -------------------------------------------------------------------------------

async function unpack(base64) {
  const packed = new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))]);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function start() {
  const script = document.createElement("script");
  script.textContent = await unpack(document.getElementById("plotly").textContent);
  document.head.append(script);
  document.documentElement.classList.add("ready");
  disableWhatIsMissing();
  redraw();
  document.querySelectorAll(".choice input").forEach(listen);
  for (const details of document.querySelectorAll("details")) {
    details.ontoggle = () => dispatchEvent(new Event("resize")); // its charts had no width
  }
  addEventListener("beforeprint", fitPaper);
  addEventListener("afterprint", fitScreen);
  matchMedia("(prefers-color-scheme: dark)").onchange = redraw;
}

start().catch((error) => {
  document.documentElement.classList.remove("ready");
  document.querySelector(".old").hidden = false;
  console.error(error);
});
