// The controls, the two pictures and the readings. All are native elements with labels.
function hsemControls(root, loaded, wanted, act) {
  "use strict";
  const { about, directions } = loaded, { changed, stop } = act;
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const words = (name) => name.replaceAll("_", " ");
  const inputs = {};
  const CLEAR = 0.25; // of the spread of a reading: what is called a change
  let drawn = null; // state and pixels of the last finished picture

  function input(name, label, properties, hint = "") {
    const made = element("input", { id: `hsem-${name}`, ...properties });
    inputs[name] = made;
    const parts = [element("label", { htmlFor: made.id, textContent: label }), made];
    if (made.type === "range") {
      const output = element("output", { htmlFor: made.id });
      const tell = () => {
        const value = Number(made.value);
        output.textContent = (value > 0 && made.min < 0 ? "+" : "") +
          String(value).replace("-", "−");
      };
      made.tell = tell;
      made.addEventListener("input", tell);
      tell();
      parts.push(output);
    }
    if (hint) {
      parts.push(element("small", { id: `${made.id}-hint`, textContent: hint }));
      made.setAttribute("aria-describedby", `${made.id}-hint`);
    }
    made.addEventListener(made.type === "range" ? "input" : "change", () => edited(made));
    return element("div", { className: `hsem-control hsem-${made.type}` }, ...parts);
  }
  const range = (name, label, min, max, step, value, hint) =>
    input(name, label, { type: "range", min, max, step, value }, hint);
  const number = (name, label, min, max, value, hint) =>
    input(name, label, { type: "number", min, max, step: 1, value }, hint);
  const button = (text, act) => {
    const made = element("button", { type: "button", textContent: text });
    made.addEventListener("click", act);
    return made;
  };
  const group = (legend, ...children) =>
    element("fieldset", {}, element("legend", { textContent: legend }), ...children);

  function edited(which) {
    if (which.type === "number") {
      const value = Math.round(which.valueAsNumber);
      which.value = Number.isNaN(value) ? which.kept // nothing, or no number, was typed
        : Math.min(Math.max(value, which.min), which.max);
      which.kept = which.value;
    }
    if (which === inputs.steps) {
      const wasLast = Number(inputs.to.value) >= Number(inputs.to.max);
      for (const name of ["from", "to"]) {
        inputs[name].max = inputs.steps.value;
        inputs[name].value = Math.min(inputs[name].value, inputs.steps.value);
      }
      if (wasLast) inputs.to.value = inputs.steps.value;
    }
    if (which === inputs.from) inputs.to.value = Math.max(inputs.to.value, inputs.from.value);
    if (which === inputs.to) inputs.from.value = Math.min(inputs.to.value, inputs.from.value);
    enable();
    changed();
  }

  // -- the mask: cells of h as buttons, one of them in the order of the Tab key --
  const [, rows, columns] = about.h_shape;
  const cells = [];
  const mask = element("div", { className: "hsem-mask" });
  mask.setAttribute("role", "group");
  mask.setAttribute("aria-label", `Cells of h in which the edit acts, ${rows} rows of ${columns}`);
  mask.style.setProperty("--columns", columns);
  for (let k = 0; k < rows * columns; k++) {
    const cell = button("", () => { press(cell, !isOn(cell)); changed(); });
    cell.setAttribute("aria-label", `row ${Math.floor(k / columns) + 1}, column ${k % columns + 1}`);
    cell.tabIndex = k ? -1 : 0;
    cell.addEventListener("focus", () => cells.forEach((c) => { c.tabIndex = c === cell ? 0 : -1; }));
    cell.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
      const next = cells[k + move[event.key]];
      if (event.key in move) event.preventDefault(); // nor may the page scroll at the edge
      if (next) next.focus();
    });
    cells.push(cell);
  }
  mask.append(...cells);
  const isOn = (cell) => cell.getAttribute("aria-pressed") === "true";
  const press = (cell, on) => cell.setAttribute("aria-pressed", on);
  const fill = (value) => cells.forEach((cell, k) => press(cell, value === null || value[k] === 1));
  fill(null);

  // -- pictures and readings --
  const [, height, width] = about.image_shape;
  const canvases = {};
  const figure = (which, caption) => {
    const canvas = element("canvas", { width, height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `portrait ${which} the edit, not drawn yet`);
    canvases[which] = canvas;
    return element("figure", {}, canvas, element("figcaption", { textContent: caption }));
  };
  const bar = element("progress", { max: 1, value: 0 });
  bar.setAttribute("aria-label", "steps drawn");
  const where = element("p", { className: "hsem-where" });
  const body = element("tbody");
  const table = element("table", {},
    element("caption", { textContent: "What the second judge reads" }),
    element("thead", {}, element("tr", {}, ...["attribute", "before", "after"].map(
      (textContent) => element("th", { textContent, scope: "col" })))), body);
  // a table that scrolls can be reached by the keyboard
  const readings = element("div", { className: "hsem-readings", tabIndex: 0 }, table);
  readings.setAttribute("role", "region");
  readings.setAttribute("aria-label", "readings");

  const like = element("select", { id: "hsem-randomLike" },
    ...directions.map((name) => element("option", { value: name, textContent: words(name) })));
  inputs.randomLike = like;
  like.addEventListener("change", () => edited(like));

  const dice = button("Another person", () => {
    inputs.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 100000;
    changed();
  });
  const MOST = 2 ** 32 - 1;
  const halt = button("Stop", stop);
  const stage = element("div", { className: "hsem-stage" },
    element("div", { className: "hsem-show" },
      element("div", { className: "hsem-pictures" },
        figure("before", "before the edit"), figure("after", "after the edit")), bar),
    readings);
  const actions = element("div", { className: "hsem-actions" }, halt,
    button("Reset", () => { set({ strengths: {} }); changed(); }),
    button("Download the picture", download), button("Copy the link", copy));
  const panel = element("div", { className: "hsem-panel" },
    group("Person",
      element("div", { className: "hsem-person" }, number("seed", "Seed", 0, MOST, 7), dice),
      range("steps", "Steps", 4, 50, 1, 16),
      range("eta", "Fresh noise η", 0, 1, 0.1, 0)),
    group("Directions", ...directions.map((name) =>
      range(`strength-${name}`, words(name), -1.5, 1.5, 0.05, 0)),
      button("All to zero", () => {
        for (const name of directions) setInput(`strength-${name}`, 0);
        setInput("random", 0);
        changed();
      })),
    group("A random direction, as control",
      range("random", "Strength", -1.5, 1.5, 0.05, 0),
      element("div", { className: "hsem-control" },
        element("label", { htmlFor: like.id, textContent: "Same length as" }), like),
      number("randomSeed", "Its seed", 0, MOST, 0)),
    group("How, when and where the edit acts",
      input("asyrp", "Asyrp: edit the predicted picture only", { type: "checkbox" }),
      number("from", "From step", 1, 16, 1), number("to", "To step", 1, 16, 16),
      input("swapped", "Take h from another person", { type: "checkbox" }),
      number("swap", "Seed of that person", 0, MOST, 3),
      element("p", { textContent: "In which cells of h, which lie as in the picture (arrow keys " +
        "move, space switches):" }), mask,
      button("All cells", () => { fill(null); changed(); }),
      button("No cells", () => { fill(cells.map(() => 0)); changed(); })));
  const status = root.querySelector("[role=status]");
  root.querySelector(".hsem-fallback").remove();
  status.before(stage);
  status.after(where, actions, panel);
  root.classList.add("hsem-started");

  function setInput(name, value) {
    const which = inputs[name];
    if (which.type === "checkbox") which.checked = value;
    else which.value = value;
    which.kept = which.value;
    if (which.tell) which.tell();
  }

  // what has no effect as things are set
  function enable() {
    inputs.swap.disabled = !inputs.swapped.checked;
  }

  function set(given) {
    const full = { ...hsemState.PLAIN, ...given };
    for (const name of ["steps", "seed", "eta", "asyrp", "random", "randomSeed"]) {
      setInput(name, full[name]);
    }
    const steps = inputs.steps.value;
    for (const name of ["from", "to"]) inputs[name].max = steps;
    setInput("from", Math.min(Math.max(full.from, 1), steps));
    setInput("to", full.to === null ? steps : Math.min(Math.max(full.to, inputs.from.value), steps));
    for (const name of directions) setInput(`strength-${name}`, full.strengths[name] || 0);
    if (directions.includes(full.randomLike)) like.value = full.randomLike;
    setInput("swapped", full.swap !== null);
    if (full.swap !== null) setInput("swap", full.swap);
    fill(full.mask && full.mask.length === cells.length ? full.mask : null);
    enable();
  }

  function state() {
    const value = (name) => Number(inputs[name].value);
    return {
      seed: value("seed"), steps: value("steps"), eta: value("eta"),
      strengths: Object.fromEntries(directions.map((n) => [n, value(`strength-${n}`)])),
      random: value("random"), randomSeed: value("randomSeed"), randomLike: like.value,
      asyrp: inputs.asyrp.checked, from: value("from") - 1, to: value("to") - 1,
      swap: inputs.swapped.checked ? value("swap") : null,
      mask: cells.map((cell) => (isOn(cell) ? 1 : 0)), on: wanted.on || null,
    };
  }

  const picture = (which, pixels) => {
    canvases[which].getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  };
  const progress = (done, total) => { bar.max = Math.max(total, 1); bar.value = done; };
  // not disabled, which would take the focus from whoever pressed it
  const busy = (is) => { halt.setAttribute("aria-disabled", !is); };

  function reading(column, value) {
    if (column.binary) return `${Math.round(100 * value)} %`;
    const digits = column.unit === "degrees" || column.unit === "years" ? 0 : 2;
    const text = value.toFixed(digits).replace(/^-(0(\.0+)?)$/, "$1").replace("-", "−");
    return text + (column.unit === "degrees" ? "°" : column.unit && ` ${column.unit}`);
  }

  // The first columns of the judge are in the order of its training: those with a slider come first.
  const order = (about.scores || []).map((column, k) => ({ column, k }));
  order.sort((a, b) => rank(a.column) - rank(b.column));
  function rank({ name }) {
    const place = directions.indexOf(name);
    return place < 0 ? directions.length : place;
  }

  function show({ before, after }, state) {
    drawn = { state, pixels: after.pixels };
    picture("before", before.pixels);
    picture("after", after.pixels);
    const lines = order.map(({ column, k }) => {
      const [b, a] = [before.scores[k], after.scores[k]];
      const unit = column.unit === "years" ? ", years" : "";
      const cells = [b, a].map((value) => reading(column, value).replace(" years", ""));
      const row = element("tr", {},
        element("th", { scope: "row", textContent: words(column.name) + unit }),
        ...cells.map((textContent) => element("td", { textContent })));
      [row.dataset.name, row.dataset.before, row.dataset.after] = [column.name, b, a];
      const size = Math.abs(a - b) / (column.spread || 1);
      row.classList.toggle("hsem-moved", size > CLEAR);
      return { row, column, b, a, size };
    });
    body.replaceChildren(...lines.map((line) => line.row));
    const tell = ({ column, b, a }) =>
      `${words(column.name)} from ${reading(column, b)} to ${reading(column, a)}`;
    const isAsked = ({ column }) => state.strengths[column.name];
    const asked = lines.filter(isAsked).map(tell);
    const besides = lines.filter((line) => !isAsked(line) && line.size > CLEAR)
      .sort((x, y) => y.size - x.size).slice(0, 3).map(tell);
    const changes = [asked.join(", "), besides.join(", ")].filter(Boolean)
      .join(asked.length ? "; with it " : "") || "the readings hardly change";
    const person = `Person ${state.seed}`;
    const isPlain = canvasesEqual(before.image, after.image);
    status.textContent = isPlain ? `${person}, without an edit.` : `${person}: ${changes}.`;
    canvases.before.setAttribute("aria-label", `portrait of person ${state.seed}`);
    canvases.after.setAttribute("aria-label",
      isPlain ? "the same portrait, without an edit" : `the edited portrait; ${changes}`);
  }
  const canvasesEqual = (a, b) => a.every((v, k) => v === b[k]);

  // the last picture that was finished, under a name that says what was set
  function download() {
    if (!drawn) return;
    const small = element("canvas", { width, height });
    small.getContext("2d").putImageData(new ImageData(drawn.pixels, width, height), 0, 0);
    const big = element("canvas", { width: 8 * width, height: 8 * height });
    big.getContext("2d").drawImage(small, 0, 0, big.width, big.height);
    const name = hsemState.write(drawn.state).slice(1).replaceAll("&", "_").slice(0, 150);
    element("a", { download: `portrait_${name}.png`, href: big.toDataURL("image/png") }).click();
  }

  async function copy() {
    const link = location.href.replace(/#.*/s, "") + hsemState.write(state());
    try {
      await navigator.clipboard.writeText(link);
      status.textContent = "The link is copied.";
    } catch {
      status.textContent = `This browser does not let the page copy; the link is ${link}`;
    }
  }

  set(wanted);
  return { state, set, show, picture, progress, busy, where: (text) => { where.textContent = text; },
    focus: () => { inputs.seed.focus({ preventScroll: true }); root.scrollIntoView(); } };
}
