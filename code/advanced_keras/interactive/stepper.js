/* <ak-stepper>: go through a recorded training step, line by line.

   Its data are made by training/stepping.py: functions with their lines, and events, each
   with its place and with what it did, already in words. */
(() => {
  if (customElements.get("ak-stepper")) return;

  let count = 0; // for ids that are unique on a page

  function node(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /* Formulas that come after MathJax has gone through the page need a second look. Before,
     it finds them by itself. JupyterLab has another MathJax and shows the LaTeX. */
  function typeset(element) {
    const maths = window.MathJax;
    if (!maths?.startup?.promise) return;
    maths.startup.promise.then(() => maths.typesetPromise?.([element])).catch(() => {});
  }

  /* Code that may break behind a slash, as in dense/kernel, and not anywhere. */
  function breakable(text) {
    const code = node("code");
    for (const part of text.split(/(?<=\/)/)) code.append(part, document.createElement("wbr"));
    return code;
  }

  /* A table of rows of texts; the first cell is set as code. */
  function tableOf(rows, label) {
    const table = node("table", "ak-rows");
    table.setAttribute("aria-label", label);
    const body = table.appendChild(node("tbody"));
    for (const [first, ...rest] of rows) {
      const row = body.appendChild(node("tr"));
      const head = row.appendChild(node("th"));
      head.scope = "row";
      head.append(breakable(first));
      for (const text of rest) row.append(node("td", "", text));
    }
    return table;
  }

  class Stepper extends window.AkWidget {
    build(data) {
      Object.assign(this, data);
      this.id_ = `ak-stepper-${++count}`;
      this.live = node("div", "ak-live");
      this.live.setAttribute("role", "group");
      this.live.setAttribute("aria-label", `The step ${this.step}, line by line`);
      const columns = node("div", "ak-columns");
      columns.append(this.buildCode(), this.buildPanel());
      this.live.append(this.buildControls(), columns, this.buildKey(), this.buildVoice());
      this.prepend(this.live);
      this.dataset.live = "";
      this.live.addEventListener("keydown", (event) => this.onKey(event));
      this.show(0);
      typeset(this.code);
    }

    attached() {
      this.outside(window, "hashchange", () => this.openAddress());
      if (this.openAddress()) this.stayInPlace();
    }

    // -- the parts

    buildControls() {
      const bar = node("div", "ak-bar");
      const last = this.events.length - 1;
      const goals = {
        First: () => 0,
        Previous: () => this.index - 1,
        Next: () => this.index + 1,
        Last: () => last,
      };
      this.buttons = {};
      for (const [name, goal] of Object.entries(goals)) {
        const button = bar.appendChild(node("button", "", name));
        button.type = "button";
        button.addEventListener("click", () => this.go(goal(), true));
        this.buttons[name] = button;
      }
      bar.append(this.buildSlider(last), this.buildSwitch());
      return bar;
    }

    buildSlider(last) {
      this.slider = node("input");
      Object.assign(this.slider, { type: "range", min: 0, max: last, step: 1 });
      this.slider.setAttribute("aria-label", "Step of the record");
      this.slider.addEventListener("input", () => this.go(Number(this.slider.value), false));
      this.place = node("span", "ak-place");
      const box = node("span", "ak-slider");
      box.append(this.slider, this.place);
      return box;
    }

    /* The static form stays within reach: all lines at once. */
    buildSwitch() {
      const button = node("button", "ak-switch", "All as a table");
      const form = this.querySelector(":scope > .ak-static");
      form.id = `${this.id_}-table`;
      button.type = "button";
      button.setAttribute("aria-controls", form.id);
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => {
        const open = this.toggleAttribute("data-table");
        button.setAttribute("aria-expanded", String(open));
      });
      return button;
    }

    buildCode() {
      this.code = node("div", "ak-code");
      this.code.tabIndex = 0; // it scrolls, so the keyboard must reach it
      this.code.setAttribute("role", "group");
      this.code.setAttribute("aria-label", "The code");
      this.rows = this.functions.map((each, index) => this.buildFunction(each, index));
      return this.code;
    }

    /* One row a line, by its number. */
    buildFunction({ lines }, index) {
      const list = this.code.appendChild(node("ol"));
      const rows = new Map();
      for (const [number, text] of lines) {
        const row = list.appendChild(node("li"));
        row.dataset.line = number;
        const code = row.appendChild(node("code", "", text.trimStart() || " "));
        code.style.setProperty("--indent", text.length - text.trimStart().length);
        rows.set(number, row);
      }
      for (const event of this.events) {
        if (event.function === index) this.furnish(rows, event);
      }
      return rows;
    }

    /* What the lines of an event have at any time: bar of the tape, formula, a click. */
    furnish(rows, event) {
      for (let line = event.line; line <= event.end; line++) {
        const row = rows.get(line);
        if (!row) continue;
        if (event.taped) row.dataset.tape = "";
        if (row.dataset.ran !== undefined) continue;
        row.dataset.ran = "";
        row.addEventListener("click", () => this.go(this.nextAt(row), true));
      }
      const first = rows.get(event.line);
      if (event.maths && !first.querySelector(".ak-maths")) {
        first.append(node("span", "ak-maths tex2jax_process", `\\(${event.maths}\\)`));
      }
    }

    buildPanel() {
      this.panel = node("div", "ak-panel");
      this.panel.tabIndex = 0;
      this.panel.setAttribute("role", "group");
      this.panel.setAttribute("aria-label", "What the line did");
      return this.panel;
    }

    /* What the marks in the code mean, of those that there are. */
    buildKey() {
      const key = node("p", "ak-key");
      const add = (name, words) => key.append(node("span", name, ""), ` ${words} `);
      add("ak-key-now", "the line of this step");
      if (this.events.some((event) => event.callers.length)) add("ak-key-waits", "a line that waits for a call to return");
      if (this.events.some((event) => event.taped)) add("ak-key-tape", "lines that a tape records");
      return key;
    }

    buildVoice() {
      this.voice = node("div", "ak-voice");
      this.voice.setAttribute("aria-live", "polite");
      return this.voice;
    }

    // -- moving

    onKey(event) {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const plain = !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);
      if (!way || !plain || event.target === this.slider) return;
      event.preventDefault();
      this.go(this.index + way, true);
    }

    /* On the reader's wish: show, write the address, say it (a slider speaks itself). */
    go(index, aloud) {
      if (index < 0 || index >= this.events.length) return;
      this.show(index);
      if (aloud) this.voice.textContent = this.events[index].say;
      if (this.inNotebook) return;
      history.replaceState(history.state, "", `#step-${this.anchor}-${index + 1}`);
    }

    /* Go where the address leads; of several records with one name the first answers. */
    openAddress() {
      const name = `#step-${this.anchor}-`;
      const own = document.querySelectorAll(`ak-stepper`);
      const first = [...own].find((each) => each.anchor === this.anchor) === this;
      if (!first || !location.hash.startsWith(name)) return false;
      const index = Number(location.hash.slice(name.length)) - 1;
      if (!this.events[index]) return false;
      this.show(index);
      this.scrollIntoView({ block: "start", behavior: "instant" });
      return true;
    }

    /* Pictures and formulas that come later push the step away from where the address led:
       go there once more when all is there, unless the reader has begun to move. */
    async stayInPlace() {
      let moved = false;
      const note = () => (moved = true);
      const signs = ["wheel", "touchmove", "keydown", "pointerdown"];
      for (const sign of signs) window.addEventListener(sign, note, { passive: true });
      if (document.readyState !== "complete") {
        await new Promise((done) => window.addEventListener("load", done, { once: true }));
      }
      await window.MathJax?.startup?.promise;
      for (const sign of signs) window.removeEventListener(sign, note);
      if (!moved) this.scrollIntoView({ block: "start", behavior: "instant" });
    }

    /* The next event on a row, from here on and around. */
    nextAt(row) {
      const all = this.events.map((_, index) => (this.index + 1 + index) % this.events.length);
      return all.find((index) => this.rowsOf(this.events[index]).includes(row));
    }

    rowsOf(event) {
      const rows = this.rows[event.function];
      const numbers = [...rows.keys()].filter((n) => n >= event.line && n <= event.end);
      return numbers.map((number) => rows.get(number));
    }

    // -- showing

    show(index) {
      const event = this.events[index];
      this.index = index;
      this.mark(event);
      this.fill(event);
      const last = this.events.length - 1;
      this.place.textContent = `${index + 1} of ${last + 1}`;
      this.slider.value = index;
      this.slider.setAttribute("aria-valuetext", `${index + 1} of ${last + 1}: ${event.say}`);
      for (const [name, button] of Object.entries(this.buttons)) {
        // still focusable at the end, or the focus would be lost there
        const end = name === "First" || name === "Previous" ? 0 : last;
        button.setAttribute("aria-disabled", String(index === end));
      }
    }

    /* The current line, and those that wait for it to come back. */
    mark(event) {
      for (const row of this.code.querySelectorAll("li")) {
        row.removeAttribute("aria-current");
        delete row.dataset.waits;
      }
      for (const caller of event.callers) {
        for (const row of this.rowsOf(this.events[caller])) row.dataset.waits = "";
      }
      const rows = this.rowsOf(event);
      for (const row of rows) row.setAttribute("aria-current", "step");
      if (rows.length) this.bringIntoView(rows[0], rows[rows.length - 1]);
    }

    /* Scroll the box of the code, never the page. */
    bringIntoView(first, last) {
      const box = this.code.getBoundingClientRect();
      const top = first.getBoundingClientRect().top - box.top;
      const bottom = last.getBoundingClientRect().bottom - box.top;
      const room = this.code.clientHeight;
      if (top < 0 || bottom > room) this.code.scrollTop += top - room / 3;
    }

    fill(event) {
      this.panel.replaceChildren(node("p", "ak-title", event.title));
      this.panel.scrollTop = 0;
      if (event.notes.length) this.add("p", "ak-notes", event.notes.join(" "));
      if (event.uses.length) {
        this.add("p", "ak-head", "Uses");
        const list = this.add("ul", "ak-uses");
        for (const text of event.uses) list.append(node("li", "", text));
      }
      if (event.makes.length) {
        this.add("p", "ak-head", event.head);
        this.panel.append(tableOf(event.makes, event.head));
      }
      for (const change of event.changes) this.fillChange(change);
      if (!event.makes.length && !event.changes.length) {
        this.add("p", "ak-notes", "Makes no new value, and changes none of the variables that are watched.");
      }
    }

    fillChange({ group, color, text, norm, variables }) {
      const head = this.add("p", "ak-head ak-change", `Changes ${group}`);
      if (color) head.style.setProperty("--tint", color);
      this.add("p", "ak-sum", `${text}; the norm of all these changes is ${norm}`);
      this.panel.append(tableOf(variables, `Changed in ${group}`));
    }

    add(...what) {
      return this.panel.appendChild(node(...what));
    }
  }

  customElements.define("ak-stepper", Stepper);
})();
