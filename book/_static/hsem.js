// The widget renderer typesets its texts through MathJax 2's Hub, which MathJax 3 does not have:
// give every MathJax that this page sets a Hub that passes the element on.
(function () {
  const hub = {
    Queue: function (call) {
      const ready = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
      if (ready) ready.then(() => window.MathJax.typesetPromise([call[2]]));
    },
  };
  const withHub = function (mathjax) {
    if (mathjax && !mathjax.Hub) mathjax.Hub = hub;
    return mathjax;
  };
  let current = withHub(window.MathJax);
  if (current === undefined) delete window.MathJax;
  Object.defineProperty(window, "MathJax", {
    configurable: true,
    get: () => current,
    set: (mathjax) => { current = withHub(mathjax); },
  });
})();

// ipywidgets gives the handle of a slider neither a name nor a value that a screen reader could
// read out. Both stand beside it: copy them, and keep the value up to date.
(function () {
  function name(root) {
    root.querySelectorAll(".widget-slider").forEach(function (slider) {
      const handle = slider.querySelector(".noUi-handle");
      const label = slider.querySelector(".widget-label");
      const readout = slider.querySelector(".widget-readout");
      if (!handle || !label) return;
      if (!handle.hasAttribute("aria-label")) {
        handle.setAttribute("aria-label", label.textContent.trim());
      }
      if (!readout || readout.dataset.hsem) return;
      const tell = () => handle.setAttribute("aria-valuetext", readout.textContent);
      readout.dataset.hsem = "1";
      readout.setAttribute("aria-hidden", "true"); // else it is read twice
      new MutationObserver(tell).observe(readout, {
        childList: true, characterData: true, subtree: true,
      });
      tell();
    });
  }
  document.addEventListener("DOMContentLoaded", function () {
    name(document);
    new MutationObserver(() => name(document)).observe(document.body, {
      childList: true, subtree: true,
    });
  });
})();

// Letters in a picture are 13 pixels high on a page 720 wide. On a telephone it may shrink to three
// quarters of that; more, and nobody could read them, so the rest is reached by scrolling
// (hsem.css). The keyboard must come there, too.
(function () {
  function limit() {
    document.querySelectorAll(".hsem-figure > img.hsem-frame").forEach(function (img) {
      const least = 0.75 * Math.min(720, Number(img.getAttribute("width")));
      img.style.maxWidth = `max(100%, ${least}px)`;
    });
  }
  const BOXES = ".bd-content figure, .hsem-figure, .hsem-table, .pst-scrollable-table-container";
  function reach() {
    document.querySelectorAll(BOXES).forEach(function (box) {
      const scrolls = getComputedStyle(box).overflowX === "auto";
      const more = scrolls && box.scrollWidth > box.clientWidth + 1;
      box.classList.toggle("hsem-more", more); // says so: a cut may fall between two columns
      if (!box.matches("figure, .hsem-figure")) return; // tables have their own
      if (more) {
        box.tabIndex = 0;
        box.setAttribute("aria-label", "A picture that scrolls sideways");
      } else if (box.tabIndex === 0) {
        box.removeAttribute("tabindex");
        box.removeAttribute("aria-label");
      }
    });
  }
  document.addEventListener("DOMContentLoaded", limit);
  window.addEventListener("load", function () { // and whenever letters of a table got smaller
    reach();
    new ResizeObserver(reach).observe(document.querySelector(".bd-content") || document.body);
  });
  window.addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true); // a fold was opened
})();

// A table that is wider than a laptop's page gets less space between its columns, then smaller
// letters, as far as these can be read: typefaces differ in width by a fifth. On a telephone it
// scrolls instead.
(function () {
  const LEAST = 11; // pixels
  function fit() {
    document.querySelectorAll(".hsem-table, .pst-scrollable-table-container").forEach(function (box) {
      const table = box.querySelector("table");
      if (!table) return;
      table.style.fontSize = "";
      box.classList.remove("hsem-tight");
      if (window.innerWidth < 768 || !box.clientWidth) return; // or it lies in a closed fold
      const over = () => Math.max(box.scrollWidth, table.offsetWidth) > box.clientWidth;
      if (over()) box.classList.add("hsem-tight");
      let size = parseFloat(getComputedStyle(table).fontSize);
      while (over() && size > LEAST) table.style.fontSize = `${(size -= 0.5)}px`;
    });
  }
  window.addEventListener("load", function () {
    fit();
    const typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    if (typeset) typeset.then(fit);
  });
  window.addEventListener("resize", fit);
  document.addEventListener("toggle", fit, true); // a fold was opened
})();
