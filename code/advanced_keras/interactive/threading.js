// <ak-threading>: flatten, multiply, unflatten with sizes that the reader chooses.
(() => {
  if (customElements.get("ak-threading")) return;

  const { make, draw } = window.AkWidget;
  const AXES = 3;
  const QUIET = 500; // ms without a change before a change is announced

  // -- the formulas of ThreadingSteps in dense_threading.py

  const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

  function threadingSteps({ leading, features: n, units: u, use_bias: bias }) {
    const rows = product(leading);
    return {
      rows,
      parameters: n * u + (bias ? u : 0),
      multiplications: rows * n * u,
      shapes: [[...leading, n], [rows, n], [rows, u], [...leading, u]],
    };
  }

  // leading_index: the digits of a row's number, the last one running fastest.
  function leadingIndex(number, leading) {
    const digits = [];
    for (const size of [...leading].reverse()) {
      digits.unshift(number % size);
      number = Math.floor(number / size);
    }
    return digits;
  }

  // -- words

  const grouped = (number) => number.toLocaleString("en-US");
  const below = (number) => String(number).replace(/./g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]);

  // A shape as Python writes a tuple.
  const tuple = (sizes) => `(${sizes.join(", ")}${sizes.length === 1 ? "," : ""})`;

  // -- elements

  const points = (corners) => corners.map((corner) => corner.join(",")).join(" ");

  const corners = (left, top, w, h) =>
    [[left, top], [left + w, top], [left + w, top + h], [left, top + h]];

  // The upper or the lower part of a block that is higher than it is drawn.
  function half(left, edge, middle, w) {
    const teeth = [];
    for (let k = 0; k <= 6; k++) teeth.push([left + (w * k) / 6, middle + (k % 2 ? -2 : 2)]);
    return [[left + w, edge], [left, edge], ...teeth];
  }

  let count = 0; // of the explorers on a page: radio buttons need names of their own

  class ThreadingExplorer extends window.AkWidget {
    build(data) {
      this.data = data;
      this.number = ++count;
      this.live = make("div", { class: "ak-threading-live" });
      this.live.append(...this.controls(), ...this.pictures(), this.follower(), ...this.results());
      this.append(this.live);
      this.choose(this.data.cases[0]);
      this.announced = this.sentence();
    }

    // -- what the reader turns

    controls() {
      const select = make("select", {});
      for (const { title } of this.data.cases) select.append(make("option", {}, title));
      this.free = make("option", { hidden: "" }, "your own sizes");
      select.append(this.free);
      select.addEventListener("change", () => this.choose(this.data.cases[select.selectedIndex]));
      this.select = select;
      this.sizes = make("div", { class: "ak-threading-controls" });
      const label = make("label", { class: "ak-threading-case" }, "Example", select);
      const top = make("div", { class: "ak-threading-controls" }, label, this.radios());
      return [top, this.sizes];
    }

    radios() {
      const set = make("fieldset", { class: "ak-threading-axes" }, make("legend", {}, "Leading axes"));
      this.radio = [];
      for (let axes = 0; axes <= AXES; axes++) {
        const name = `ak-threading-${this.number}`;
        const input = make("input", { type: "radio", name, value: axes });
        input.addEventListener("change", () => this.resize(axes));
        this.radio.push(input);
        set.append(make("label", {}, input, String(axes)));
      }
      return set;
    }

    // Begin with the sizes of a case.
    choose(chosen) {
      const { names, limits, leading, features, units, use_bias } = chosen;
      this.names = [...names];
      this.limits = limits.slice(0, names.length);
      [this.most_features, this.most_units] = limits.slice(-2);
      this.setting = { leading: [...leading], features, units, use_bias };
      this.row = Math.floor(product(leading) / 3);
      this.select.selectedIndex = this.data.cases.indexOf(chosen);
      this.offer();
    }

    // Take away leading axes from the front, or put new ones there.
    resize(axes) {
      const { leading } = this.setting;
      while (leading.length > axes)
        [leading, this.names, this.limits].forEach((list) => list.shift());
      while (leading.length < axes) {
        leading.unshift(2);
        this.names.unshift("new axis");
        this.limits.unshift(this.data.greatest);
      }
      this.ownSizes();
      this.offer();
    }

    ownSizes() {
      this.free.hidden = false;
      this.free.selected = true;
    }

    // A slider for each size of the setting.
    offer() {
      const { leading, features, units } = this.setting;
      this.radio[leading.length].checked = true;
      this.sizes.replaceChildren(
        ...leading.map((size, k) =>
          this.size(`${this.names[k]}, d${below(k + 1)}`, size, this.limits[k], (value) => (leading[k] = value))),
        this.size("features, n", features, this.most_features, (value) => (this.setting.features = value)),
        this.size("units, u", units, this.most_units, (value) => (this.setting.units = value)),
      );
      this.update();
    }

    // A slider and a field for the same number.
    size(name, value, most, set) {
      const range = make("input", { type: "range", min: 1, max: most, value, "aria-label": name });
      const field = make("input", {
        type: "number", min: 1, max: most, value, title: `from 1 to ${most}`,
        "aria-label": `${name}, from 1 to ${most}`,
      });
      const change = (number) => {
        set(number);
        this.ownSizes();
        this.update();
      };
      range.addEventListener("input", () => {
        field.value = range.value;
        field.removeAttribute("aria-invalid");
        change(range.valueAsNumber);
      });
      field.addEventListener("input", () => {
        const wrong = !field.validity.valid || field.value === "";
        if (wrong) return field.setAttribute("aria-invalid", "true");
        field.removeAttribute("aria-invalid");
        range.value = field.value;
        change(field.valueAsNumber);
      });
      field.addEventListener("change", () => { // what can't be is put back
        field.value = range.value;
        field.removeAttribute("aria-invalid");
      });
      return make("div", { class: "ak-threading-size" }, make("span", {}, name), range, field);
    }

    // -- the picture

    pictures() {
      const stage = (name) => {
        const part = make("div", { class: "ak-threading-stage" }, make("span", {}, name));
        const svg = draw(part, "svg", { "aria-hidden": "true" });
        const code = part.appendChild(make("code"));
        return { part, svg, code };
      };
      const step = (name) => make("div", { class: "ak-threading-step" }, name);
      const sign = (name) => make("div", { class: "ak-threading-sign" }, name);
      const parts = ["x", "X", "W", "Y", "y"].map(stage);
      this.stages = parts;
      const [x, flat, kernel, y, out] = parts.map(({ part }) => part);
      const flow = make("div", { class: "ak-threading-flow" },
        x, step("flatten"), flat, sign("multiply ×"), kernel, sign("+ b ="), y, step("unflatten"), out);
      this.note = make("p", { class: "ak-threading-note" });
      return [flow, this.note];
    }

    paint() {
      const { leading, features: n, units: u } = this.setting;
      const { side: most, widest, tallest } = this.data.drawing;
      const side = Math.min(most, widest / Math.max(n, u));
      const [x, flat, kernel, y, out] = this.stages.map(({ svg }) => svg);
      this.pile(x, leading, n, side, "ak-row-in");
      this.sheet(flat, this.work.rows, n, side, "ak-row-in");
      this.sheet(kernel, n, u, side);
      this.sheet(y, this.work.rows, u, side, "ak-row-out");
      this.pile(out, leading, u, side, "ak-row-out");
      const [before, tall, after, behind] = this.work.shapes;
      [before, tall, [n, u], after, behind].forEach((shape, k) =>
        (this.stages[k].code.textContent = tuple(shape)));
      const cut = this.work.rows * side > tallest;
      const scale = cut
        ? `To scale, but for the breaks: on this scale X would be ${grouped(Math.round((this.work.rows * side) / tallest))} times as high.`
        : "To scale.";
      this.note.textContent = leading.length
        ? scale
        : `${scale} Keras wants a leading axis: give this row to Dense as a batch of one, ${tuple([1, n])}.`;
    }

    // A matrix; the followed row is marked if the class of its colour is given.
    sheet(svg, rows, columns, side, colour) {
      const { thinnest, tallest } = this.data.drawing;
      const w = Math.max(columns * side, thinnest);
      const h = Math.min(Math.max(rows * side, thinnest), tallest);
      this.frame(svg, w, h);
      this.block(svg, 0, 0, rows, columns, side, tallest, colour && this.row, colour);
    }

    frame(svg, w, h) {
      svg.replaceChildren();
      svg.setAttribute("width", w + 2);
      svg.setAttribute("height", h + 2);
      svg.setAttribute("viewBox", `-1 -1 ${w + 2} ${h + 2}`);
    }

    block(svg, left, top, rows, columns, side, tallest, marked, colour) {
      const { thinnest, ruled } = this.data.drawing;
      const w = Math.max(columns * side, thinnest);
      const full = Math.max(rows * side, thinnest);
      const h = Math.min(full, tallest);
      const middle = top + h / 2;
      const parts = full > tallest
        ? [half(left, top, middle - 2, w), half(left, top + h, middle + 2, w)]
        : [corners(left, top, w, h)];
      for (const part of parts) draw(svg, "polygon", { class: "ak-block", points: points(part) });
      if (side >= ruled) this.rule(svg, left, top, w, h, full > tallest ? 0 : rows, columns, side);
      if (colour) this.mark(svg, left, top, w, h, rows, marked, colour);
    }

    rule(svg, left, top, w, h, rows, columns, side) {
      let path = "";
      for (let row = 1; row < rows; row++) path += `M${left},${top + row * side}h${w}`;
      for (let column = 1; column < columns; column++)
        path += rows
          ? `M${left + column * side},${top}v${h}`
          : `M${left + column * side},${top}v${h / 2 - 4}m0,8v${h / 2 - 4}`; // not in the break
      if (path) draw(svg, "path", { class: "ak-ruling", d: path });
    }

    // The followed row, at least 2 px high: where it is in a block that is cut is a share.
    mark(svg, left, top, w, h, rows, marked, colour) {
      const height = Math.max(2, h / rows);
      const y = top + Math.min((h * marked) / rows, h - height);
      draw(svg, "rect", { class: colour, x: left, y, width: w, height });
    }

    // A tensor: a pile of sheets; in front the sheet with the followed row.
    pile(svg, leading, columns, side, colour) {
      const { thinnest, tallest, cards, piles: most, offset, gap } = this.data.drawing;
      const [piles, sheets, rows] = [1, 1, 1, ...leading].slice(-AXES);
      const [chosen, , marked] = [0, 0, 0, ...leadingIndex(this.row, leading)].slice(-AXES);
      const shown = Math.min(piles, most);
      const behind = (Math.min(sheets, cards) - 1) * offset;
      const room = tallest / shown - (shown > 1 ? gap : 0) - behind;
      const w = Math.max(columns * side, thinnest);
      const h = Math.min(Math.max(rows * side, thinnest), room);
      const pitch = h + behind + gap;
      this.frame(svg, w + behind, pitch * shown - gap + (piles > shown ? 18 : 0));
      for (let pile = 0; pile < shown; pile++) {
        const top = pile * pitch + behind;
        for (let shift = 0; shift < behind; shift += offset)
          draw(svg, "polygon", { class: "ak-block", points: points(this.card(shift, top - shift, w, h)) });
        const holds = Math.floor((chosen * shown) / piles) === pile;
        this.block(svg, 0, top, rows, columns, side, room, marked, holds && colour);
      }
      const dots = { class: "ak-dots", x: w / 2, y: pitch * shown + 8, "text-anchor": "middle" };
      if (piles > shown) draw(svg, "text", dots, "⋮");
    }

    // What is seen of a card behind another one: its upper and its right edge.
    card(left, top, w, h) {
      const d = this.data.drawing.offset;
      const right = left + w;
      return [[left + d, top], [left + d, top - d], [right + d, top - d],
        [right + d, top + h - d], [right, top + h - d], [right, top]];
    }

    // -- the followed row

    follower() {
      this.slider = make("input", { type: "range", min: 0, "aria-label": "Row to follow" });
      this.place = make("span", { class: "ak-threading-place" });
      this.slider.addEventListener("input", () => {
        this.row = this.slider.valueAsNumber;
        this.paint();
        this.say();
      });
      return make("div", { class: "ak-threading-follow" }, make("span", {}, "Row to follow"), this.slider, this.place);
    }

    say() {
      const { leading } = this.setting;
      const index = leadingIndex(this.row, leading).join(", ");
      const said = `row ${this.row} of X is x[${index || "..."}]`;
      this.place.textContent = said;
      this.slider.setAttribute("aria-valuetext", said);
    }

    // -- the counts

    results() {
      const list = make("dl", { class: "ak-threading-counts" });
      this.counts = {};
      for (const name of ["rows", "parameters", "multiplications"]) {
        this.counts[name] = { term: make("dt"), value: make("dd", { "data-count": name }) };
        list.append(this.counts[name].term, this.counts[name].value);
      }
      this.said = make("p", { class: "ak-threading-said", "aria-live": "polite" });
      return [list, this.said];
    }

    update() {
      this.work = threadingSteps(this.setting);
      this.row = Math.min(this.row, this.work.rows - 1);
      this.slider.max = this.work.rows - 1;
      this.slider.value = this.row;
      this.slider.disabled = this.work.rows === 1;
      this.paint();
      this.say();
      this.count();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.announce(), QUIET);
    }

    count() {
      const { leading, features: n, units: u, use_bias: bias } = this.setting;
      const { rows, parameters, multiplications } = this.work;
      const axes = leading.map((_, k) => `d${below(k + 1)}`).join(" ");
      const write = (name, symbols, sum, total) => {
        const { term, value } = this.counts[name];
        term.textContent = `${name}, ${symbols}`;
        value.textContent = sum ? `${sum} = ${grouped(total)}` : grouped(total);
      };
      const factors = leading.length > 1 ? leading.map(grouped).join(" × ") : "";
      write("rows", axes ? `M = ${axes}` : "M = 1", factors, rows);
      write("parameters", bias ? "n u + u" : "n u", bias ? `${n} × ${u} + ${u}` : `${n} × ${u}`, parameters);
      write("multiplications", "M n u", `${grouped(rows)} × ${n} × ${u}`, multiplications);
    }

    sentence() {
      const { rows, parameters, multiplications, shapes } = this.work;
      return `From ${tuple(shapes[0])} to ${tuple(shapes[3])}: ${grouped(rows)} ${rows === 1 ? "row" : "rows"}, `
        + `${grouped(parameters)} parameters, ${grouped(multiplications)} multiplications.`;
    }

    announce() {
      const sentence = this.sentence();
      if (sentence !== this.announced) this.said.textContent = sentence;
      this.announced = sentence;
    }
  }

  customElements.define("ak-threading", ThreadingExplorer);
})();
