/* Whatever scrolls inside itself can be reached and scrolled with the keyboard. Whether
   it scrolls depends on the width of the window, so it's looked at again as that changes. */
(() => {
  const WIDE = ".ak-table, .ak-picture, .bd-article div.math, .bd-article .pst-scrollable-table-container, .bd-article pre, .bd-article .output";
  const scrolls = (box) => box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
  const mark = (box) => {
    if (scrolls(box)) box.tabIndex = 0;
    else if (box.tabIndex === 0) box.removeAttribute("tabindex");
  };
  const boxes = document.querySelectorAll(WIDE);
  const watch = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  boxes.forEach((box) => watch.observe(box));
  const again = () => boxes.forEach(mark);
  window.addEventListener("load", () => {
    again();
    window.MathJax?.startup?.promise?.then(again); // formulas are wide once they're set
  });
})();
