"use strict";
// Figures are drawn when they come near the view: on a phone most are never reached.
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();
const PRINT_WIDTH = 680; // CSS pixels between the margins of an A4 page
const PRINT_HEIGHT = 0.75; // of the height on the screen

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
  const figure = language.figure(plot.dataset.figure);
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
language.changed(() => {
  for (const plot of plots.filter((each) => each.dataset.drawn)) {
    const figure = language.figure(plot.dataset.figure);
    plotly().react(plot, figure.data, themed(figure.layout));
  }
});

// On paper everything is drawn, at the width of the page; what is folded away and matters is unfolded.
const folded = "details.open-list, details.trace";
let unfolded = [];
addEventListener("beforeprint", () => {
  layOutAll();
  unfolded = [...document.querySelectorAll(folded)].filter((element) => !element.open);
  unfolded.forEach((element) => (element.open = true));
  for (const plot of plots) {
    draw(plot);
    const height = Math.round(plot._fullLayout.height * PRINT_HEIGHT);
    window.Plotly.relayout(plot, { autosize: false, width: PRINT_WIDTH, height });
  }
});
addEventListener("afterprint", () => {
  unfolded.forEach((element) => (element.open = false));
  for (const plot of plots) {
    const { height } = language.figure(plot.dataset.figure).layout;
    window.Plotly.relayout(plot, { autosize: true, width: null, height });
  }
});

// A link to a raw file opens it.
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  layOutAll();
  for (let element = target; element; element = element.parentElement) {
    if (element.tagName === "DETAILS") element.open = true;
  }
  const content = target.matches(".file") && target.querySelector("details.content");
  if (content) content.open = true;
  if (target.hidden) reset(target);
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);

// The lists of evidence and of claims: each field names what a row must have, a text what it must say; one count.
function filter(form) {
  const { text, ...fields } = Object.fromEntries(new FormData(form));
  const rows = [...form.parentElement.querySelectorAll("tbody tr")];
  const wanted = text.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const matches =
      Object.entries(fields).every(([name, value]) => !value || row.dataset[name].split("|").includes(value)) &&
      (!wanted || row.textContent.toLowerCase().includes(wanted));
    row.hidden = !matches;
    shown += matches;
  }
  form.querySelector("output").textContent = say("{0} of {1}", shown, rows.length);
}
function reset(row) {
  const form = row.closest("section").querySelector(".filter");
  form.reset();
  filter(form);
}
for (const form of document.querySelectorAll(".filter")) {
  form.hidden = false;
  form.addEventListener("input", () => filter(form));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter(form);
  language.changed(() => filter(form));
}

// A box that scrolls must be reachable by keyboard; one that does not must not be a stop on the way.
// All are measured before one is changed, and what is folded away or far from the view waits until it is seen: asking
// for the width of each alone would lay out what nobody sees, one box after the other.
function reachable() {
  const boxes = [...document.querySelectorAll(".scroll, pre")].filter((box) => box.checkVisibility({ contentVisibilityAuto: true }));
  const wide = boxes.map((box) => box.scrollWidth > box.clientWidth + 1);
  boxes.forEach((box, index) => {
    if (wide[index]) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
}
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
reachable();

// The document opens with what is in view. The rest is laid out in the pauses after that, from the top, or at once where
// a link leads into it or a printer wants it: how far to go is known only when all that lies between is laid out.
const waiting = [...document.querySelectorAll(".chapter, .appendix")];
const inPause = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
function layOutAll() {
  if (document.documentElement.dataset.laidOut) return;
  waiting.length = 0;
  document.documentElement.dataset.laidOut = "yes";
  reachable();
}
function layOutNext() {
  if (!waiting.length) return layOutAll();
  waiting.shift().style.contentVisibility = "visible";
  inPause(layOutNext);
}
addEventListener("load", () => inPause(layOutNext));
document.addEventListener("click", (event) => event.target.closest('a[href^="#"]') && layOutAll(), true);

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
