/* What the widgets share: each is a class that extends AkWidget, and starts when its static
   form and its data are there.

   build(data)  once: put the live part beside the static form
   attached()   each time that the element enters a page, also the first
   detached()   each time that it leaves: a notebook takes cells out that are out of sight
   outside(target, type, listener)  listen to what isn't ours, while we are on a page */
(() => {
  if (window.AkWidget) return;

  const SVG = "http://www.w3.org/2000/svg";

  function furnished(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  window.AkWidget = class extends HTMLElement {
    static make(tag, attributes = {}, ...children) {
      return furnished(document.createElement(tag), attributes, children);
    }

    static draw(parent, tag, attributes = {}, ...children) {
      const part = document.createElementNS(SVG, tag);
      parent.append(furnished(part, attributes, children));
      return part;
    }

    // A page that is still being read shows us before our children are there.
    connectedCallback() {
      if (document.readyState !== "loading") this.begin();
      else document.addEventListener("DOMContentLoaded", () => this.begin(), { once: true });
    }

    begin() {
      const json = this.querySelector(':scope > script[type="application/json"]');
      if (!this.isConnected || !json) return;
      if (!this.started) {
        this.started = true;
        this.build(JSON.parse(json.textContent));
      }
      this.left?.abort();
      this.left = new AbortController();
      this.attached();
    }

    disconnectedCallback() {
      this.left?.abort();
      if (this.started) this.detached();
    }

    attached() {}

    detached() {}

    outside(target, type, listener) {
      target.addEventListener(type, listener, { signal: this.left.signal });
    }

    // The address of a notebook is the notebook's: none of ours is written into it.
    get inNotebook() {
      return this.closest(".jp-OutputArea, .output_area") !== null;
    }
  };
})();
