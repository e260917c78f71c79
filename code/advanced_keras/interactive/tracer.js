// <ak-tracer>: source, tensors and graph of a traced model that point at each other.
(() => {
  if (customElements.get("ak-tracer")) return;

  const BUTTONS = [
    ["back", "◀ Trace back", "One call further towards the inputs"],
    ["forward", "Trace forward ▶", "One call further towards the outputs"],
    ["open", "Open nested models", "Show what is inside the models that are called"],
    ["numbers", "Numbers", "Write the shapes in numbers"],
  ];

  class Tracer extends window.AkWidget {
    build(data) {
      this.data = data;
      this.parts = this.collect();
      this.anchor = this.querySelector(".ak-closed svg g.graph").id;
      this.yieldIds();
      this.outputs = this.consumers();
      this.opened = this.querySelector(".ak-opened:not([hidden])") !== null;
      this.buildBar();
      this.makeItems();
      this.listen();
    }

    attached() {
      this.outside(window, "hashchange", () => this.fromAddress());
      this.fromAddress();
    }

    // -- what belongs to which step

    // Every element that stands for a step, with its panel and the steps it stands for.
    collect() {
      const parts = [];
      const add = (panel, element, steps) => parts.push({ panel, element, steps });
      for (const line of this.querySelectorAll(".ak-line[data-steps]"))
        add("code", line, line.dataset.steps.split(" "));
      for (const row of this.querySelectorAll("[data-step]"))
        add("tensors", row, [row.dataset.step]);
      for (const kind of ["closed", "opened"])
        for (const node of this.querySelectorAll(`.ak-${kind} g.step`))
          add(kind, node, [node.id.split("-").pop()]);
      for (const kind of ["closed", "opened"])
        for (const edge of this.querySelectorAll(`.ak-${kind} g.edge`))
          add(kind, edge, this.endsOf(edge));
      return parts.filter((part) => part.steps.every((id) => id in this.data.steps));
    }

    // A trace that is shown twice has its ids twice: they belong to the first.
    yieldIds() {
      for (const part of this.querySelectorAll("svg [id]"))
        if (document.getElementById(part.id) !== part) part.removeAttribute("id");
    }

    // An edge stands for the call that it feeds and the call that it comes from.
    endsOf(edge) {
      const ends = edge.dataset.ends.split("->");
      return ends.map((end) => end.trim().split(":")[0]).reverse();
    }

    consumers() {
      const found = {};
      for (const [id, step] of Object.entries(this.data.steps))
        for (const input of step.inputs) (found[input] ??= []).push(id);
      return found;
    }

    // A walk stands at steps, each with the calls of nested models that it has gone into.
    // With these models open, a call leads to what it returns from inside, and the formal
    // tensor inside to the actual one: of that call, if it went in there, else of any.
    before({ id, calls }) {
      const step = this.data.steps[id];
      if (!this.opened) return step.inputs.map((input) => ({ id: input, calls }));
      if (step.ends.length) return step.ends.map((end) => ({ id: end, calls: [id, ...calls] }));
      const inputs = step.inputs.map((input) => ({ id: input, calls }));
      return inputs.concat(this.leave(calls, (call) =>
        call.binds.filter((bound) => bound.formal === id).map((bound) => bound.actual)));
    }

    after({ id, calls }) {
      const users = this.outputs[id] ?? [];
      if (!this.opened) {
        const outer = users.filter((other) => !this.data.steps[other].inside);
        return outer.map((other) => ({ id: other, calls }));
      }
      const found = users.flatMap((other) => this.enter(other, id, calls));
      return found.concat(this.leave(calls, (call, at) => (call.ends.includes(id) ? [at] : [])));
    }

    // To a call; if a model is called, to its formal tensors that are bound to this one.
    enter(other, actual, calls) {
      const binds = this.data.steps[other].binds.filter((b) => b.actual === actual && b.formal);
      if (!binds.length) return [{ id: other, calls }];
      return binds.map((bound) => ({ id: bound.formal, calls: [other, ...calls] }));
    }

    // Out of a nested model: steps that `ways` finds for the call that led into it.
    leave([last, ...calls], ways) {
      const candidates = last ? [last] : Object.keys(this.data.steps);
      const out = (call) => ways(this.data.steps[call], call);
      return candidates.flatMap((call) => out(call).map((id) => ({ id, calls })));
    }

    // -- what is shown

    buildBar() {
      this.bar = document.createElement("div");
      this.bar.className = "ak-tracer-bar";
      this.bar.setAttribute("role", "toolbar");
      this.bar.setAttribute("aria-label", `Walk through ${this.data.name}`);
      for (const [name, text, title] of BUTTONS) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: text, title });
        button.dataset.action = name;
        button.addEventListener("click", () => this[name]());
        this.bar.append(button);
      }
      this.button("open").hidden = !this.querySelector(".ak-opened");
      this.labelOpen();
      const shapes = [...this.querySelectorAll(".ak-shape")];
      this.button("numbers").hidden =
        shapes.every((shape) => shape.dataset.numbers === shape.textContent);
      this.status = document.createElement("p");
      this.status.className = "ak-tracer-status";
      this.status.setAttribute("role", "status");
      this.status.textContent =
        "Point at a line, a tensor, a box or an arrow: the other panels show what belongs "
        + "to it. Choose one, and trace it back or forward. In shapes B is the batch, a dot "
        + "an axis of any length.";
      this.prepend(this.bar, this.status);
    }

    button(name) {
      return this.bar.querySelector(`[data-action="${name}"]`);
    }

    makeItems() {
      for (const svg of this.querySelectorAll(".ak-tracer-graph svg"))
        svg.setAttribute("role", "group"); // its parts are met one by one
      for (const { element, steps } of this.parts) {
        element.setAttribute("role", element.matches("li") ? "option" : "button");
        element.setAttribute("aria-label", this.nameOf(element, steps));
        element.classList.add("ak-item");
      }
      const order = this.querySelector(".ak-tracer-tensors");
      order.setAttribute("role", "listbox");
      this.roving();
    }

    nameOf(element, steps) {
      if (element.classList.contains("edge")) {
        const label = [...element.querySelectorAll("text")].map((t) => t.textContent);
        const ends = steps.map((id) => this.short(id)).reverse().join(" to ");
        return `Arrow from ${ends}${label.length ? `, fills ${label.join(" ")}` : ""}`;
      }
      if (element.classList.contains("ak-line"))
        return element.textContent.trim() || "empty line";
      return this.data.steps[steps[0]].says;
    }

    short(id) {
      return this.data.steps[id].name;
    }

    // One stop of the Tab key in each panel; the arrow keys move inside it.
    roving() {
      for (const panel of ["code", "tensors", "closed", "opened"]) {
        const items = this.itemsOf(panel);
        const chosen = items.find((item) => item.tabIndex === 0) ?? items[0];
        for (const item of items) item.setAttribute("tabindex", item === chosen ? 0 : -1);
      }
    }

    itemsOf(panel) {
      return this.parts.filter((part) => part.panel === panel && !part.element.hidden)
        .map((part) => part.element);
    }

    listen() {
      for (const part of this.parts) {
        const { element } = part;
        element.addEventListener("pointerenter", () => this.light(part.steps));
        element.addEventListener("pointerleave", () => this.light([]));
        element.addEventListener("focus", () => this.light(part.steps));
        element.addEventListener("blur", () => this.light([]));
        element.addEventListener("click", () => this.choose(part.steps, element));
        element.addEventListener("keydown", (event) => this.key(event, part));
      }
    }

    key(event, part) {
      if (event.key === "Enter" || event.key === " ") this.choose(part.steps, part.element);
      else if (!this.move(event.key, part)) return;
      event.preventDefault();
    }

    move(key, part) {
      const items = this.itemsOf(part.panel);
      const place = items.indexOf(part.element);
      const next = {
        ArrowDown: place + 1, ArrowRight: place + 1,
        ArrowUp: place - 1, ArrowLeft: place - 1,
        Home: 0, End: items.length - 1,
      }[key];
      if (next === undefined || !items[next]) return false;
      items[place].setAttribute("tabindex", -1);
      items[next].setAttribute("tabindex", 0);
      items[next].focus();
      return true;
    }

    light(steps) {
      this.mark("ak-lit", new Set(steps));
    }

    mark(name, steps) {
      for (const part of this.parts) {
        const isEdge = part.element.classList.contains("edge");
        const on = isEdge ? part.steps.every((id) => steps.has(id))
          : part.steps.some((id) => steps.has(id));
        part.element.classList.toggle(name, on);
      }
    }

    // Choose an element: its first step becomes the start of a walk.
    choose(steps, element) {
      const id = steps[0];
      if (this.data.steps[id].inside && !this.opened) this.open();
      this.walked = new Set(element.classList.contains("edge") ? steps : [id]);
      this.front = [{ id, calls: [] }];
      this.show(id, this.details(id));
      this.toAddress(id);
    }

    details(id) {
      const { says, binds } = this.data.steps[id];
      const bound = binds.map((each) => each.says).join("; ");
      return bound ? `${says} In this call ${bound}.` : says;
    }

    show(id, words) {
      this.mark("ak-chosen", this.walked);
      this.mark("ak-front", new Set(this.front.map((at) => at.id)));
      this.status.textContent = words;
      for (const part of this.parts) {
        const current = part.steps.includes(id) && !part.element.classList.contains("edge");
        const state = part.panel === "tensors" ? "aria-selected" : "aria-current";
        if (current) part.element.setAttribute(state, state === "aria-current" ? "step" : true);
        else part.element.removeAttribute(state);
        if (current && !part.element.hidden) this.reveal(part.element);
      }
    }

    // Scroll inside the panels only: the page stays where the reader is.
    reveal(element) {
      const panel = element.closest("pre, .ak-tracer-tensors, .ak-tracer-graph");
      if (!panel) return;
      const inner = element.getBoundingClientRect(), outer = panel.getBoundingClientRect();
      if (inner.top < outer.top || inner.bottom > outer.bottom)
        panel.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
      if (inner.left < outer.left || inner.right > outer.right)
        panel.scrollLeft += inner.left - outer.left - 8;
    }

    // -- the buttons

    back() {
      const end = (names, many) => `${names} ${many ? "are inputs" : "is an input"}`;
      this.walk((at) => this.before(at), ["comes from", "come from"], end);
    }

    forward() {
      const end = (names) => `Nothing uses ${names} any further`;
      this.walk((at) => this.after(at), ["goes to", "go to"], end);
    }

    walk(neighbours, verbs, end) {
      if (!this.front) {
        const ids = Object.keys(this.data.steps);
        const last = verbs[0] === "comes from";
        const outer = ids.filter((id) => this.opened || !this.data.steps[id].inside);
        this.choose([last ? outer.at(-1) : outer[0]], this);
        return;
      }
      const next = this.distinct(this.front.flatMap(neighbours));
      const [from, several] = this.named(this.front);
      if (!next.length) {
        this.status.textContent = `${end(from, several)}: the walk is complete.`;
        return;
      }
      this.front = next;
      for (const { id } of next) this.walked.add(id);
      const [to, many] = this.named(next);
      const one = many ? "" : ` ${this.details(next[0].id)}`;
      this.show(next[0].id, `${from} ${verbs[Number(several)]} ${to}.${one}`);
    }

    distinct(places) {
      const keys = places.map(({ id, calls }) => [id, ...calls].join(" "));
      return places.filter((_, index) => keys.indexOf(keys[index]) === index);
    }

    // The names of some places, and whether they are several.
    named(places) {
      const names = [...new Set(places.map((at) => this.short(at.id)))];
      return [names.join(", "), names.length > 1 || names[0].includes(", ")];
    }

    open() {
      this.opened = !this.opened;
      this.labelOpen();
      this.querySelector(".ak-closed").hidden = this.opened;
      this.querySelector(".ak-opened").hidden = !this.opened;
      for (const row of this.querySelectorAll(".ak-inside")) row.hidden = !this.opened;
      this.status.textContent = this.opened
        ? "Nested models are open. Dotted arrows bind actual tensors to formal ones."
        : "Nested models are closed.";
      this.roving();
    }

    labelOpen() {
      this.button("open").textContent =
        this.opened ? "Close nested models" : "Open nested models";
      this.button("open").setAttribute("aria-expanded", this.opened);
    }

    numbers() {
      this.inNumbers = !this.inNumbers;
      for (const shape of this.querySelectorAll(".ak-shape")) {
        const other = shape.dataset.numbers;
        shape.dataset.numbers = shape.textContent;
        shape.textContent = other;
      }
      this.button("numbers").textContent = this.inNumbers ? "Letters" : "Numbers";
    }

    // -- the address: #trace-1a2b3c4d-s3 opens step s3 of this trace

    toAddress(id) {
      if (!this.inNotebook) history.replaceState(null, "", `#${this.anchor}-${id}`);
    }

    fromAddress() {
      const match = location.hash.match(/^#(trace-[0-9a-f]+)-(s\d+)$/);
      if (!match || match[1] !== this.anchor || !(match[2] in this.data.steps)) return;
      if (!this.contains(document.getElementById(this.anchor))) return; // the first answers
      this.choose([match[2]], this);
      this.scrollIntoView({ block: "start" });
    }
  }

  customElements.define("ak-tracer", Tracer);
})();
