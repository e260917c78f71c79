/* <ak-film>: play frames over time. The frames stand below each other in one image, and a
   window shows one of them. Its data: one label a frame. */
(() => {
  if (customElements.get("ak-film")) return;

  const PACE = 400; // milliseconds for a frame
  const CALM = 1200; // for readers who asked for less motion
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  class Film extends window.AkWidget {
    build({ labels }) {
      this.labels = labels;
      this.image = this.querySelector("img");
      this.output = this.querySelector("output");
      this.output.before(this.buildControls());
      this.show(this.labels.length - 1);
    }

    detached() {
      this.pause();
    }

    buildControls() {
      const bar = document.createElement("div");
      bar.className = "ak-bar";
      this.button = document.createElement("button");
      this.button.type = "button";
      this.button.textContent = "Play";
      this.button.disabled = this.labels.length < 2;
      this.button.addEventListener("click", () => (this.timer ? this.pause() : this.play()));
      this.slider = document.createElement("input");
      const range = { type: "range", min: 0, max: this.labels.length - 1, step: 1 };
      Object.assign(this.slider, range);
      this.slider.setAttribute("aria-label", "Frame of the film");
      this.slider.addEventListener("input", () => this.onSlide());
      bar.append(this.button, this.slider);
      return bar;
    }

    onSlide() {
      const index = Number(this.slider.value);
      this.pause(); // whoever takes the slider wants to look
      this.show(index);
    }

    /* From here; from the start, if the film is over. */
    play() {
      const last = this.labels.length - 1;
      if (this.index === last) this.show(0);
      this.button.textContent = "Pause";
      this.output.setAttribute("aria-live", "off"); // not a sentence for every frame
      this.timer = setInterval(() => this.tick(last), calm.matches ? CALM : PACE);
    }

    tick(last) {
      this.show(this.index + 1);
      if (this.index >= last) this.pause();
    }

    pause() {
      if (!this.timer) return;
      clearInterval(this.timer);
      this.timer = null;
      this.button.textContent = "Play";
      this.output.setAttribute("aria-live", "polite");
      this.show(this.index); // said now that it stands
    }

    show(index) {
      const label = this.labels[index];
      this.index = index;
      this.image.style.transform = `translateY(-${(100 * index) / this.labels.length}%)`;
      this.output.textContent = label;
      this.slider.value = index;
      this.slider.setAttribute("aria-valuetext", label);
    }
  }

  customElements.define("ak-film", Film);
})();
