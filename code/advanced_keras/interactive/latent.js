// <ak-latent>: a plane of decoded images, explored by pointer or arrow keys.
(() => {
  if (customElements.get("ak-latent")) return;

  const { make, draw } = window.AkWidget;
  const WIDE = 1000; // of the drawing over the plane, in its own units
  const QUIET = 500; // ms without a move before a place is announced
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const FAR = 5; // tiles that an arrow moves with Shift

  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

  // With a sign that is as wide as a digit.
  const number = (z) => (Math.abs(z) < 0.005 ? "0.00" : z.toFixed(2).replace("-", "−"));

  // Place of a value among increasing ticks, in tiles; null if it is off the plane. The
  // outermost tiles reach half a step beyond their ticks.
  function between(value, ticks) {
    const last = ticks.length - 1;
    const ends = [
      ticks[0] - (ticks[1] - ticks[0]) / 2, ...ticks, ticks[last] + (ticks[last] - ticks[last - 1]) / 2,
    ];
    const places = [-0.5, ...ticks.keys(), last + 0.5];
    if (!(ends[0] <= value && value <= ends.at(-1))) return null;
    const k = Math.max(1, ends.findIndex((end) => value <= end));
    const share = (value - ends[k - 1]) / (ends[k] - ends[k - 1]);
    return places[k - 1] + share * (places[k] - places[k - 1]);
  }

  class LatentPlane extends window.AkWidget {
    build(data) {
      this.data = data;
      this.image = this.querySelector(".ak-latent-static img");
      this.columns = this.data.z1.length;
      this.rows = this.data.z2.length;
      const [width, height] = this.data.tile;
      this.tall = (WIDE * this.rows * height) / (this.columns * width);
      this.live = make("div", { class: "ak-latent-live" }, this.plane(), this.side());
      this.append(this.live);
      this.listen();
      this.column = Math.floor(this.columns / 2);
      this.row = Math.floor(this.rows / 2);
      this.go(this.column, this.row, false);
      this.image.decode().then(() => this.paint());
    }

    // -- the parts

    plane() {
      this.picture = make("img", { src: this.image.src, alt: "", class: "dark-light" });
      const view = { viewBox: `0 0 ${WIDE} ${this.tall}`, "aria-hidden": "true" };
      this.pad = make("div", {
        class: "ak-latent-plane", tabindex: 0, role: "application",
        "aria-roledescription": "plane of images",
        "aria-label": `${this.image.alt} Move with the arrow keys, with Shift ${FAR} images at a time; Home is the middle.`,
      }, this.picture);
      const svg = draw(this.pad, "svg", view);
      this.codes = draw(svg, "g");
      this.off = this.writeCodes();
      const tile = { width: WIDE / this.columns, height: this.tall / this.rows };
      this.frames = ["ak-latent-halo", "ak-latent-here"].map((name) =>
        draw(svg, "rect", { class: name, ...tile }));
      return this.pad;
    }

    // Each code as the letters of its class; returns how many are off the plane.
    writeCodes() {
      const { points, labels, colours, z1, z2 } = this.data;
      const rising = [...z2].reverse();
      let off = 0;
      points.forEach(([across, up], k) => {
        const column = between(across, z1);
        const row = between(up, rising);
        if (column === null || row === null) return off++;
        const x = ((column + 0.5) * WIDE) / this.columns;
        const y = ((this.rows - 0.5 - row) * this.tall) / this.rows;
        draw(this.codes, "text", { x, y, fill: colours[labels[k]] }, labels[k]);
      });
      return off;
    }

    side() {
      const [width, height] = this.data.tile;
      this.canvas = make("canvas", { width, height, role: "img" });
      this.place = make("p", { class: "ak-latent-place" });
      this.near = make("p", { class: "ak-latent-near" });
      this.sliders = [this.slider("z₁", this.columns), this.slider("z₂", this.rows)];
      this.said = make("p", { class: "ak-latent-said", "aria-live": "polite" });
      const labels = ["z₁", "z₂"].map((name, k) => make("label", {}, name, this.sliders[k]));
      const side = make("div", { class: "ak-latent-side" }, this.canvas, this.place, ...labels);
      if (this.data.points.length) side.append(this.near, ...this.switches());
      side.append(this.said);
      return side;
    }

    slider(name, count) {
      return make("input", { type: "range", min: 0, max: count - 1, "aria-label": name });
    }

    switches() {
      const count = this.data.points.length;
      const box = (words) => {
        const input = make("input", { type: "checkbox" });
        input.checked = true;
        input.addEventListener("change", () => this.cover());
        return { input, label: make("label", {}, input, words) };
      };
      this.images = box("decoded images");
      this.known = box(`codes of ${count} examples, each as its class`);
      const parts = [this.images.label, this.known.label];
      if (this.off) parts.push(make("p", { class: "ak-latent-off" }, `${this.off} of them ${this.off === 1 ? "is" : "are"} off the plane.`));
      this.cover();
      return parts;
    }

    // Under codes the images are dimmed.
    cover() {
      const codes = this.known.input.checked;
      this.pad.classList.toggle("ak-latent-bare", !this.images.input.checked);
      this.codes.toggleAttribute("hidden", !codes);
      this.pad.classList.toggle("ak-latent-dim", codes);
    }

    // -- moving

    listen() {
      this.pad.addEventListener("pointermove", (event) => this.point(event));
      this.pad.addEventListener("pointerdown", (event) => {
        this.pad.setPointerCapture(event.pointerId); // a finger may slide off the edge
        this.point(event);
      });
      this.pad.addEventListener("keydown", (event) => this.key(event));
      const [across, up] = this.sliders;
      across.addEventListener("input", () => this.go(across.valueAsNumber, this.row));
      up.addEventListener("input", () => this.go(this.column, this.rows - 1 - up.valueAsNumber));
    }

    point(event) {
      const box = this.pad.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
      const row = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
      this.go(column, row);
    }

    key(event) {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const far = event.shiftKey ? FAR : 1;
      const move = MOVES[event.key];
      if (move) this.go(this.column + far * move[0], this.row + far * move[1]);
      else if (event.key === "Home") this.go(Math.floor(this.columns / 2), Math.floor(this.rows / 2));
      else return;
      event.preventDefault(); // the page stays where it is
    }

    go(column, row, announced = true) {
      this.column = clamp(column, 0, this.columns - 1);
      this.row = clamp(row, 0, this.rows - 1);
      const words = this.words();
      this.place.textContent = words.place;
      this.near.textContent = words.near;
      this.canvas.setAttribute("aria-label", `The image decoded from ${words.place}`);
      this.frames.forEach((frame) => {
        frame.setAttribute("x", (this.column * WIDE) / this.columns);
        frame.setAttribute("y", (this.row * this.tall) / this.rows);
      });
      this.slide();
      this.paint();
      if (announced) this.announce(`${words.place}. ${words.near}`);
    }

    slide() {
      const { z1, z2 } = this.data;
      const [across, up] = this.sliders;
      across.value = this.column;
      up.value = this.rows - 1 - this.row;
      across.setAttribute("aria-valuetext", number(z1[this.column]));
      up.setAttribute("aria-valuetext", number(z2[this.row]));
    }

    paint() {
      const [width, height] = this.data.tile;
      const tile = [this.column * width, this.row * height, width, height];
      const context = this.canvas.getContext("2d");
      context.drawImage(this.image, ...tile, 0, 0, width, height);
    }

    // -- words

    words() {
      const here = [this.data.z1[this.column], this.data.z2[this.row]];
      const place = `z = (${here.map(number).join(", ")})`;
      const found = this.nearest(here);
      const near = found
        ? `The nearest code is of class ${found.label}, ${found.distance.toFixed(2)} away.`
        : "";
      return { place, near };
    }

    nearest([across, up]) {
      let found = null;
      this.data.points.forEach((point, k) => {
        const distance = Math.hypot(point[0] - across, point[1] - up);
        if (!found || distance < found.distance) found = { label: this.data.labels[k], distance };
      });
      return found;
    }

    announce(sentence) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => (this.said.textContent = sentence), QUIET);
    }
  }

  customElements.define("ak-latent", LatentPlane);
})();
