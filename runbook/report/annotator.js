"use strict";
// The annotator: marks, comments, corrections and verdicts, kept in this browser and exported as one W3C annotation page.
(() => {
  const known = JSON.parse(document.getElementById("review-data").textContent);
  const KEY = `runbook-review-${known.edition}`;
  const NAME = "runbook-reviewer";
  const SIGNING = "runbook-review-key";
  const LONGEST = { quote: 2000, words: 20000, around: 32 };
  const SEVERITIES = { note: () => say("a note"), minor: () => say("minor"), major: () => say("major"), blocking: () => say("blocking: do not run it like this") };
  for (const element of document.querySelectorAll("[data-path]")) {
    const file = known.texts.find((text) => text.path === element.dataset.path && !text.cell);
    if (file) file.text = element.querySelector("pre").textContent;
  }
  const KINDS = { commenting: () => say("comment"), editing: () => say("correction"), assessing: () => say("assessment") };
  const VERDICTS = { approved: () => say("approved"), rejected: () => say("rejected") };
  const byPlace = new Map(known.texts.map((text) => [`${text.path}#${text.cell}`, text]));

  // Elements are made, never written as markup: what a reviewer or a file says cannot become part of the page.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // What is kept: a browser that refuses to (private mode) still exports.
  const store = {
    read(key, empty) {
      try {
        return JSON.parse(localStorage.getItem(key)) ?? empty;
      } catch {
        return empty;
      }
    },
    write(key, value) {
      try {
        localStorage.setItem(key, JSON.stringify(value));
        return true;
      } catch {
        return false;
      }
    },
  };
  let annotations = store.read(KEY, []);

  // Places: the element that holds a selection, its chapter's notebook, and the source behind it.
  const HOLDERS = "[data-cells], [data-path], .output[id], figure[id], .evidence tr[id], .decisions li[id], section.chapter[id], header.front[id]";
  const holder = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest(HOLDERS);

  function sourcesOf(element) {
    const file = element.closest("[data-path]");
    if (file) return [byPlace.get(`${file.dataset.path}#`)].filter(Boolean);
    const holding = element.closest("[data-cells]");
    const chapter = element.closest("section.chapter");
    if (!holding || !chapter) return [];
    const path = known.texts.find((text) => text.path.startsWith(`notebooks/${chapter.id.slice(8)}_`))?.path;
    return holding.dataset.cells.split(" ").map((cell) => byPlace.get(`${path}#${cell}`)).filter(Boolean);
  }

  function quoteOf(range, element) {
    const exact = String(range).trim().slice(0, LONGEST.quote);
    if (!exact) return null;
    const before = document.createRange();
    before.setStart(element, 0);
    before.setEnd(range.startContainer, range.startOffset);
    const after = document.createRange();
    after.setStart(range.endContainer, range.endOffset);
    after.setEnd(element, element.childNodes.length);
    return {
      type: "TextQuoteSelector",
      exact,
      prefix: String(before).slice(-LONGEST.around),
      suffix: String(after).slice(0, LONGEST.around),
    };
  }

  // One dialog for everything that can be said.
  const dialog = make("dialog", { class: "annotator-dialog", "aria-labelledby": "annotator-heading" });

  function options(values, chosen) {
    return Object.entries(values).map(([value, label]) => make("option", { value, selected: value === chosen }, label()));
  }

  function ask(element, quote, old) {
    const sources = sourcesOf(element);
    const decision = element.matches(".decisions li, header.front");
    const corrected = old?.["runbook:source"];
    const first = sources.find((text) => text.path === corrected?.path && text.cell === corrected?.cell) ?? sources[0];
    const words = make("textarea", { name: "words", maxlength: LONGEST.words, rows: 5 });
    words.value = bodyOf(old, "commenting");
    const source = make("textarea", { name: "source", class: "source", spellcheck: "false" });
    const which = make("select", { name: "which", "aria-label": say("Which part") }, ...sources.map((text, at) => make("option", { value: at, selected: text === first }, text.cell ? say("cell {0}", text.cell) : text.path)));
    const shown = () => sources[Number(which.value) || 0];
    const fill = () => (source.value = shown()?.text ?? "");
    if (first) source.value = bodyOf(old, "editing") || first.text;
    which.addEventListener("change", fill);
    const kinds = [["commenting", say("Comment")], ...(sources.length ? [["editing", say("Correction")]] : []), ...(decision ? [["approved", say("Approve")], ["rejected", say("Reject")]] : [])];
    const chosen = old?.["runbook:verdict"] || old?.motivation || "commenting";
    const radios = kinds.map(([value, label]) => make("label", {}, make("input", { type: "radio", name: "kind", value, checked: value === chosen, onchange: toggle }), ` ${label}`));
    const severity = make("select", { name: "severity" }, ...options(SEVERITIES, old?.["runbook:severity"] ?? "note"));
    const name = make("input", { type: "text", name: "name", maxlength: 120, autocomplete: "name", value: store.read(NAME, "") });
    const problem = make("p", { class: "problem", role: "alert" });
    const editor = make("div", {}, make("label", {}, say("The text as it should be"), source), sources.length > 1 ? which : "");
    const form = make(
      "form",
      { method: "dialog", onsubmit: save },
      make("h2", { id: "annotator-heading" }, quote || !element.id ? say("Annotate these words") : say("Annotate {0}", nameOf(element))),
      quote ? make("blockquote", {}, quote.exact) : "",
      make("fieldset", {}, make("legend", { class: "hidden" }, say("What it is")), ...radios),
      make("label", {}, say("What you say"), words),
      editor,
      make("label", {}, say("How grave"), severity),
      make("label", {}, say("Your name"), name),
      problem,
      make("div", { class: "row" }, make("button", { type: "submit" }, say("Keep")), make("button", { type: "button", onclick: () => dialog.close() }, say("Cancel"))),
    );
    function kind() {
      return form.elements.kind.value;
    }
    function toggle() {
      editor.hidden = kind() !== "editing";
    }
    async function save(event) {
      event.preventDefault();
      const said = words.value.trim();
      const text = shown();
      const edits = kind() === "editing";
      const verdict = ["approved", "rejected"].includes(kind()) ? kind() : "";
      const wrong =
        (!name.value.trim() && say("Your name is missing.")) ||
        (!said && !edits && !verdict && say("Nothing is said yet.")) ||
        (edits && source.value === text.text && say("The text is as it was."));
      if (wrong) {
        problem.textContent = wrong;
        return;
      }
      store.write(NAME, name.value.trim());
      const made = {
        "@context": "http://www.w3.org/ns/anno.jsonld",
        id: old?.id ?? `urn:uuid:${crypto.randomUUID()}`,
        type: "Annotation",
        motivation: edits ? "editing" : verdict ? "assessing" : "commenting",
        created: old?.created ?? new Date().toISOString(),
        modified: new Date().toISOString(),
        creator: { type: "Person", name: name.value.trim() },
        body: [
          ...(said || !edits ? [{ type: "TextualBody", purpose: "commenting", format: "text/plain", language: languageOf(said), value: said }] : []),
          ...(edits ? [{ type: "TextualBody", purpose: "editing", format: "text/plain", value: source.value }] : []),
        ],
        target: {
          source: `urn:runbook:edition:${known.edition}`,
          language: old?.target.language ?? document.documentElement.lang,
          selector: [...(quote ? [quote] : []), { type: "FragmentSelector", value: element.id }],
        },
        "runbook:severity": severity.value,
        ...(verdict ? { "runbook:verdict": verdict } : {}),
        ...(edits ? { "runbook:source": { path: text.path, cell: text.cell, sha256: text.sha256 } } : {}),
      };
      if (verdict && element.matches("header.front")) {
        const seal = await sign(`runbook-edition:${known.edition}:${verdict}:${made.id}`);
        if (seal) made["runbook:seal"] = seal;
      }
      keep([...annotations.filter((each) => each.id !== made.id), made]);
      dialog.close();
    }
    toggle();
    dialog.replaceChildren(form);
    dialog.showModal();
    words.focus();
  }

  const bodyOf = (annotation, purpose) => annotation?.body.find((body) => body.purpose === purpose)?.value ?? "";
  const languageOf = (words) => (/[\u0400-\u04ff]/.test(words) ? "ru" : "en");
  const nameOf = (element) => {
    const caption = element.querySelector("figcaption, h2, h3, strong, .path, .rb-name");
    return element.matches("header.front") ? say("the whole document") : (caption?.textContent ?? say("this place")).trim().slice(0, 80);
  };

  // The verdict on an edition is signed by a key that never leaves this browser.
  async function sign(text) {
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    try {
      let pair = store.read(SIGNING, null);
      if (!pair) {
        const made = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
        const encoded = await Promise.all([crypto.subtle.exportKey("jwk", made.privateKey), crypto.subtle.exportKey("spki", made.publicKey)]);
        pair = { own: encoded[0], shown: base64(encoded[1]) };
        store.write(SIGNING, pair);
      }
      const own = await crypto.subtle.importKey("jwk", pair.own, algorithm, false, ["sign"]);
      const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, own, new TextEncoder().encode(text));
      return { key: pair.shown, signature: base64(signature) };
    } catch {
      return null; // This browser cannot sign a local file's text: the verdict goes unsigned, and the owner sees that.
    }
  }
  const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
  async function fingerprint() {
    const pair = store.read(SIGNING, null);
    if (!pair) return "";
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pair.shown));
    const digits = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return digits.slice(0, 16).match(/.{4}/g).join(" ");
  }

  // The sheet: everything said so far, export and import.
  const list = make("ol");
  const told = make("p", { role: "status" });
  const count = make("span", {});
  const file = make("input", { type: "file", accept: ".json,application/json", hidden: true, onchange: take });
  const title = make("span", {});
  const verdict = make("button", { type: "button", id: "annotator-verdict", onclick: () => ask(document.getElementById("front"), null, overall()) });
  const exporting = make("button", { type: "button", id: "annotator-export", onclick: give });
  const importing = make("button", { type: "button", onclick: () => file.click() });
  const sheet = make(
    "details",
    { class: "annotator", id: "annotator-sheet" },
    make("summary", {}, title, " ", count),
    make("div", { class: "sheet" }, make("div", { class: "row" }, verdict, exporting, importing, file), told, list),
  );
  function label() {
    list.setAttribute("aria-label", say("Annotations"));
    file.setAttribute("aria-label", say("A review to import"));
    title.textContent = say("Review");
    verdict.textContent = say("Overall verdict…");
    exporting.textContent = say("Export");
    importing.textContent = say("Import…");
    for (const [element, button] of own) button.setAttribute("aria-label", say("Annotate {0}", nameOf(element)));
    floating.textContent = say("Annotate");
    told.textContent = "";
    show();
  }
  const overall = () => annotations.find((each) => each["runbook:verdict"] && fragmentOf(each) === "front");
  const fragmentOf = (annotation) => annotation.target.selector.find((part) => part.type === "FragmentSelector")?.value ?? "";
  const quoteIn = (annotation) => annotation.target.selector.find((part) => part.type === "TextQuoteSelector") ?? null;

  function keep(next) {
    annotations = next;
    const kept = store.write(KEY, annotations);
    told.textContent = kept ? "" : say("This browser keeps nothing: export before you close the page.");
    show();
  }

  function show() {
    count.textContent = annotations.length ? `(${annotations.length})` : "";
    list.replaceChildren(
      ...annotations.map((each) => {
        const place = document.getElementById(fragmentOf(each));
        const said = bodyOf(each, "commenting") || VERDICTS[each["runbook:verdict"]]?.() || say("a correction");
        const kind = (VERDICTS[each["runbook:verdict"]] ?? KINDS[each.motivation])();
        return make(
          "li",
          {},
          make("span", {}, `${each.creator.name}, ${kind}, ${SEVERITIES[each["runbook:severity"]]?.().split(":")[0]}: ${said.slice(0, 200)}`),
          make(
            "div",
            { class: "row" },
            place ? make("button", { type: "button", onclick: () => go(place) }, say("Go there")) : make("span", {}, say("its place is not in this edition")),
            place ? make("button", { type: "button", onclick: () => ask(place, quoteIn(each), each) }, say("Edit")) : "",
            make("button", { type: "button", onclick: () => keep(annotations.filter((other) => other.id !== each.id)) }, say("Delete")),
          ),
        );
      }),
    );
    mark();
  }

  function go(place) {
    location.hash = `#${place.id}`;
    place.scrollIntoView();
  }

  // Marked words are painted, not wrapped: the page's own elements stay as they are.
  function mark() {
    if (!window.Highlight || !CSS.highlights) return;
    const ranges = annotations.flatMap((each) => {
      const place = document.getElementById(fragmentOf(each));
      const quote = quoteIn(each);
      const range = place && quote && rangeOf(place, quote);
      return range ? [range] : [];
    });
    CSS.highlights.set("annotated", new Highlight(...ranges));
  }

  function rangeOf(place, quote) {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    const nodes = [];
    let text = "";
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      nodes.push([node, text.length]);
      text += node.data;
    }
    const around = text.indexOf(quote.prefix + quote.exact + quote.suffix);
    const begin = around < 0 ? text.indexOf(quote.exact) : around + quote.prefix.length;
    if (begin < 0) return null;
    const at = (offset) => {
      const [node, start] = nodes.findLast(([, first]) => first <= offset);
      return [node, offset - start];
    };
    const range = document.createRange();
    range.setStart(...at(begin));
    range.setEnd(...at(begin + quote.exact.length));
    return range;
  }

  function give() {
    const page = {
      "@context": ["http://www.w3.org/ns/anno.jsonld", { runbook: "urn:runbook:terms:" }],
      id: `urn:uuid:${crypto.randomUUID()}`,
      type: "AnnotationPage",
      "runbook:edition": known.edition,
      "runbook:run": known.run,
      items: annotations,
    };
    const blob = new Blob([`${JSON.stringify(page, null, 1)}\n`], { type: "application/ld+json" });
    const link = make("a", { href: URL.createObjectURL(blob), download: `review-${known.run}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    fingerprint().then((key) => {
      const exported = say("{0} annotations exported.", annotations.length);
      told.textContent = key ? `${exported} ${say("Your key: {0}. Tell the owner by another way than the file.", key)}` : exported;
    });
  }

  async function take() {
    const chosen = file.files[0];
    file.value = "";
    try {
      const page = JSON.parse(await chosen.text());
      if (page.type !== "AnnotationPage" || !Array.isArray(page.items)) throw new Error(say("no annotation page"));
      const valid = page.items.filter((item) => item?.type === "Annotation" && typeof item.id === "string" && Array.isArray(item.body) && Array.isArray(item.target?.selector) && item.creator?.name);
      const others = annotations.filter((each) => !valid.some((item) => item.id === each.id));
      keep([...others, ...valid]);
      const lost = page.items.length - valid.length;
      told.textContent = lost ? say("{0} annotations imported, {1} could not be read.", valid.length, lost) : say("{0} annotations imported.", valid.length);
    } catch (error) {
      told.textContent = say("Not a review: {0}", error.message);
    }
  }

  // Two ways in: marked words, and each place's own button.
  const own = new Map();
  const floating = make("button", { type: "button", class: "annotate", hidden: true, onmousedown: (event) => event.preventDefault(), onclick: askSelection });
  function selected() {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed || dialog.open) return null;
    const range = selection.getRangeAt(0);
    const element = holder(range.startContainer);
    return element && document.getElementById("document").contains(element) ? { range, element } : null;
  }
  function askSelection() {
    const found = selected();
    floating.hidden = true;
    if (!found) return;
    const quote = quoteOf(found.range, found.element);
    if (quote) ask(found.element, quote, null);
  }
  document.addEventListener("selectionchange", () => {
    const found = selected();
    floating.hidden = !found;
    if (!found) return;
    const box = found.range.getBoundingClientRect();
    floating.style.left = `${Math.max(4, Math.min(box.left + scrollX, document.documentElement.clientWidth - 110))}px`;
    floating.style.top = `${box.bottom + scrollY + 6}px`;
  });
  addEventListener("keydown", (event) => {
    if (!event.altKey || !event.shiftKey || event.code !== "KeyA") return;
    event.preventDefault();
    if (selected()) askSelection();
    else if (holder(document.activeElement)) ask(holder(document.activeElement), null, null);
  });
  for (const element of document.querySelectorAll("[data-cells], .output[id], figure[id], .decisions li[id], [data-path], header.front[id]")) {
    element.classList.add("annotatable");
    // Its visible word is the style's: it must not get into quotations.
    own.set(element, make("button", { type: "button", class: "annotate own", onclick: () => ask(element, null, null) }));
    element.append(own.get(element));
  }
  document.getElementById("annotator").replaceWith(sheet, dialog, floating);
  label();
  language.changed(label);
})();
