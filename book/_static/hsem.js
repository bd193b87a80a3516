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
