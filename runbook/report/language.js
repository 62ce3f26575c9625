"use strict";
// The document's two languages: what is marked is swapped with its other form; the choice is remembered.
const language = (() => {
  const table = JSON.parse(document.getElementById("language-data").textContent);
  const KEY = "runbook-language";
  const root = document.documentElement;
  const others = root.dataset.languages.split(" ");
  const listeners = [];

  // A translation may choose a noun's form by a number: {0|one|few|many}.
  function form(value, one, few, many) {
    const count = Math.abs(Number(value));
    if (!Number.isInteger(count)) return few;
    if (count % 10 === 1 && count % 100 !== 11) return one;
    return [2, 3, 4].includes(count % 10) && ![12, 13, 14].includes(count % 100) ? few : many;
  }

  function say(message, ...values) {
    const text = (root.lang !== "en" && table.words[message]) || message;
    return text
      .replace(/\{(\d+)\|([^{}|]*)\|([^{}|]*)\|([^{}|]*)\}/g, (_, at, ...forms) => form(values[at], ...forms))
      .replace(/\{(\d+)\}/g, (_, at) => values[at]);
  }

  // A figure's data stands in the page in English; its words are replaced on the way to the drawing.
  function figure(id) {
    const drawing = JSON.parse(document.getElementById(id).textContent);
    if (root.lang === "en") return drawing;
    for (const [place, text] of table.figures[id] ?? []) {
      const last = place.at(-1);
      place.slice(0, -1).reduce((inner, key) => inner[key], drawing)[last] = text;
    }
    drawing.layout.separators = ",\u00a0";
    return drawing;
  }

  function swap() {
    for (const element of document.querySelectorAll("[data-say]")) {
      const at = Number(element.dataset.say);
      const shown = element.innerHTML;
      element.innerHTML = table.texts[at];
      table.texts[at] = shown;
    }
    for (const element of document.querySelectorAll("[data-labels]")) {
      const labels = table.labels[Number(element.dataset.labels)];
      for (const [name, text] of Object.entries(labels)) {
        labels[name] = element.getAttribute(name);
        element.setAttribute(name, text);
      }
    }
  }

  function choose(wanted) {
    if (wanted === root.lang || !others.includes(wanted)) return;
    root.lang = wanted;
    swap();
    listeners.forEach((listener) => listener());
  }

  const buttons = [...document.querySelectorAll(".languages button")];
  const press = () => buttons.forEach((button) => button.setAttribute("aria-pressed", button.lang === root.lang));
  listeners.push(press);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      choose(button.lang);
      try {
        localStorage.setItem(KEY, button.lang);
      } catch {
        // A browser that keeps nothing asks again.
      }
    });
  }
  try {
    choose(localStorage.getItem(KEY) ?? root.lang);
  } catch {
    // Nothing is kept: the page stays in the language that it opened in.
  }
  press();
  if (buttons.length) buttons[0].parentElement.hidden = false;
  return { say, figure, changed: (listener) => listeners.push(listener) };
})();
const say = language.say;
