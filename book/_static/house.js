/* Whatever scrolls inside itself can be reached and scrolled with the keyboard. Whether
   it scrolls depends on the width of the window, so it's looked at again as that changes. */
(() => {
  const WIDE = ".ak-table, .ak-picture, .bd-article div.math, .bd-article .pst-scrollable-table-container, .bd-article pre, .bd-article .output";
  const scrolls = (box) => box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
  const set = (box, scrolling) => {
    if (scrolling) box.tabIndex = 0;
    else if (box.tabIndex === 0) box.removeAttribute("tabindex");
  };
  // Measure all, then write: else the browser lays the page out anew for each box.
  const mark = (boxes) => boxes.map((box) => [box, scrolls(box)]).forEach(([box, scrolling]) => set(box, scrolling));
  const watch = new ResizeObserver((entries) => mark(entries.map((entry) => entry.target)));
  const boxes = [...document.querySelectorAll(WIDE)];
  boxes.forEach((box) => watch.observe(box));
  window.addEventListener("load", () => {
    window.MathJax?.startup?.promise?.then(() => mark(boxes)); // formulas are wide once they're set
  });
})();

/* A full stop or a comma stays with the formula before it: never the first of a line. */
(() => {
  for (const formula of document.querySelectorAll(".bd-article span.math")) {
    const text = formula.nextSibling;
    const stop = text?.nodeType === Node.TEXT_NODE && text.data.match(/^[.,;:!?)\]’”]+/u);
    if (!stop) continue;
    text.splitText(stop[0].length);
    const together = document.createElement("span");
    together.style.whiteSpace = "nowrap";
    formula.replaceWith(together);
    together.append(formula, text);
  }
})();

/* Formulas are set some at a time, from the top: the page answers the reader meanwhile.
   Those in view come first and together, so that the lines move once. */
(() => {
  const FORMULAS = ".math, .tex2jax_process, .mathjax_process, .output_area";
  const AT_ONCE = 6;
  const breath = () => new Promise((next) => setTimeout(next));
  const outermost = (element) => !element.parentElement.closest(FORMULAS);
  const inView = (element) => element.getBoundingClientRect().top < window.innerHeight;
  async function typeset() {
    const all = [...document.querySelectorAll(FORMULAS)].filter(outermost);
    const first = Math.max(AT_ONCE, all.filter(inView).length);
    for (let start = 0; start < all.length; start += start ? AT_ONCE : first) {
      await window.MathJax.typesetPromise(all.slice(start, start + (start ? AT_ONCE : first)));
      await breath();
    }
  }
  if (window.MathJax) window.MathJax.startup = { pageReady: typeset };
})();

/* What a search shows of a page: its text, without the contents at its top and its code.
   Sphinx would take those, and fail where a name is only a place in the text. */
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const NO_TEXT = "#jb-print-docs-body, .ak-chapter-line, .headerlink, .highlight, script, style";
  Search.htmlToText = (page, anchor) => {
    const main = new DOMParser().parseFromString(page, "text/html").querySelector('[role="main"]');
    if (!main) return "";
    main.querySelectorAll(NO_TEXT).forEach((element) => element.remove());
    const place = anchor ? main.querySelector(`[id="${CSS.escape(anchor.slice(1))}"]`) : null;
    if (place?.matches("dt")) return `${place.textContent}: ${place.nextElementSibling?.textContent}`;
    const found = place?.textContent.trim() ? place : place?.closest("section, dl");
    return (found ?? main).textContent.trim() || document.title;
  };
});
