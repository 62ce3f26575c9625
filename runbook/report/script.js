"use strict";
// Figures are drawn when they come near the view: on a phone most are never reached.
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();
const PRINT_WIDTH = 640; // CSS pixels between the margins of an A4 page

function plotly() {
  if (!window.Plotly) {
    // The source waits as plain text, so that a page without a visible figure never parses its 4.8 MB.
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }
  return window.Plotly;
}

function themed(layout) {
  const own = { ...layout, width: undefined, autosize: true, dragmode: false };
  own.paper_bgcolor = own.plot_bgcolor = "rgba(0,0,0,0)";
  own.font = { ...layout.font, family: colour("--sans"), size: 13, color: colour("--ink") };
  const template = (own.template = structuredClone(layout.template || {}));
  template.layout = template.layout || {};
  for (const axis of ["xaxis", "yaxis"]) {
    const lines = { gridcolor: colour("--hair"), zerolinecolor: colour("--hair"), linecolor: colour("--soft") };
    const title = { ...template.layout[axis]?.title, font: { size: 13 } };
    const ticks = { ticks: "outside", ticklen: 6, tickcolor: "rgba(0,0,0,0)" };
    template.layout[axis] = { ...template.layout[axis], ...lines, ...ticks, title };
  }
  return own;
}

function draw(plot) {
  if (plot.dataset.drawn) return;
  plot.dataset.drawn = "yes";
  const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
  const options = { displayModeBar: false, responsive: true, showTips: false };
  plotly().newPlot(plot, figure.data, themed(figure.layout), options);
}

const plots = [...document.querySelectorAll(".plot")];
const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      draw(entry.target);
    }
  },
  { rootMargin: "600px" },
);
plots.forEach((plot) => near.observe(plot));

// On paper everything is drawn, at the width of the page; what is folded away and matters is unfolded.
const folded = "details.open-list, details.trace";
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll(folded)].filter((element) => !element.open);
  unfolded.forEach((element) => (element.open = true));
  for (const plot of plots) {
    draw(plot);
    window.Plotly.relayout(plot, { autosize: false, width: PRINT_WIDTH });
  }
});
addEventListener("afterprint", () => {
  unfolded.forEach((element) => (element.open = false));
  for (const plot of plots) window.Plotly.relayout(plot, { autosize: true, width: null });
});

// A link to a raw file opens it.
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let element = target; element; element = element.parentElement) {
    if (element.tagName === "DETAILS") element.open = true;
  }
  const content = target.matches(".file") && target.querySelector("details.content");
  if (content) content.open = true;
  if (target.hidden) reset();
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);

// The evidence list: three filters, one count.
const form = document.querySelector(".filter");
const rows = [...document.querySelectorAll(".evidence tbody tr")];
function filter() {
  const { kind, chapter, text } = Object.fromEntries(new FormData(form));
  const wanted = text.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const matches =
      (!kind || row.dataset.kind === kind) &&
      (!chapter || row.dataset.chapter === chapter) &&
      (!wanted || row.textContent.toLowerCase().includes(wanted));
    row.hidden = !matches;
    shown += matches;
  }
  form.querySelector("output").textContent = `${shown} of ${rows.length}`;
}
function reset() {
  form.reset();
  filter();
}
if (form) {
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}

// A box that scrolls must be reachable by keyboard; one that does not must not be a stop on the way.
function reachable() {
  for (const box of document.querySelectorAll(".scroll, pre")) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
reachable();

// The contents: folded where they would fill a phone; the place that is being read is marked.
const contents = document.querySelector("nav.contents details");
if (matchMedia("(max-width: 73.99rem)").matches) contents.open = false;
const entries = new Map([...document.querySelectorAll("nav.contents a")].map((a) => [a.hash.slice(1), a]));
const reading = new IntersectionObserver(
  (seen) => {
    const current = seen.filter((entry) => entry.isIntersecting).map((entry) => entry.target.id)[0];
    if (!current) return;
    entries.forEach((a, id) => (id === current ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current")));
  },
  { rootMargin: "-10% 0px -80% 0px" },
);
entries.forEach((_, id) => document.getElementById(id) && reading.observe(document.getElementById(id)));
reveal();
