// Plays the frames of a job at their true rate, one layer against another. Knows no queue.

const KEPT = 160; // decoded pictures; at 960 × 540 about 300 MB
const AHEAD = 24; // frames asked for before they are shown

/** The pictures of one job by their SHA-256: loaded and decoded once, the longest unused thrown away. */
class Pictures {
  constructor(job, arrived) {
    this.job = job;
    this.arrived = arrived;
    this.kept = new Map();
  }

  /** The picture when it can be drawn at once; else it is on its way, and null. */
  get(sha256) {
    const found = this.kept.get(sha256) ?? this.#fetched(sha256);
    this.kept.delete(sha256);
    this.kept.set(sha256, found);
    return found.ready ? found.image : null;
  }

  /** Whether nothing more will come: it is here, or cannot be had. */
  settled(sha256) {
    const found = this.kept.get(sha256);
    return Boolean(found && (found.ready || found.failed));
  }

  #fetched(sha256) {
    const entry = { image: new Image(), ready: false, failed: false };
    const settle = (name) => () => {
      entry[name] = true;
      this.arrived();
    };
    entry.image.src = `/page/jobs/${this.job}/pictures/${sha256}`;
    entry.image.decode().then(settle("ready"), settle("failed"));
    for (const oldest of this.kept.keys()) {
      if (this.kept.size < KEPT) break;
      this.kept.delete(oldest);
    }
    return entry;
  }
}

/** The player in `root`; `load` asks the server for what there is to play. */
export class Player {
  constructor(root) {
    this.root = root;
    this.part = (id) => root.querySelector(`#${id}`);
    this.canvas = this.part("canvas");
    this.reel = { fps: 24, first: 0, take: "", layers: {} };
    this.pictures = new Pictures(root.dataset.job, () => this.draw());
    this.index = 0;
    this.playing = false;
    this.listen();
  }

  async load() {
    const reply = await fetch(`/page/jobs/${this.root.dataset.job}/reel`);
    if (!reply.ok) return this.draw();
    const before = Object.keys(this.reel.layers).join();
    this.reel = await reply.json();
    if (Object.keys(this.reel.layers).join() !== before) this.offer();
    this.part("frame").max = Math.max(this.end, 0);
    this.part("first").value ||= this.reel.cut[0];
    this.part("last").value ||= this.reel.cut[1];
    this.draw();
  }

  /** Only a whole take has frames to keep while some are made anew. */
  allowRetake(whole) {
    this.root.querySelector(".retake").hidden = !whole;
  }

  /** The choice of layers for both sides; the plate against what was made of it, unless somebody chose. */
  offer() {
    const names = Object.keys(this.reel.layers);
    const made = names.find((name) => name !== "plate") ?? names[0];
    for (const [side, usual] of [["a", names[0]], ["b", made]]) {
      const select = this.part(side);
      const chosen = names.includes(select.value) && select.dataset.chosen ? select.value : usual;
      select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
    }
  }

  get seen() {
    return this.root.querySelector("input[name=seen]:checked").value;
  }

  /** Names of the layers on the screen: those that were chosen, as far as they have frames. */
  get shown() {
    const sides = { a: ["a"], b: ["b"], wipe: ["a", "b"] }[this.seen];
    return sides.map((side) => this.part(side).value).filter((name) => this.reel.layers[name]?.some(Boolean));
  }

  /** The last frame that every layer on the screen has. */
  get end() {
    const ends = this.shown.map((name) => this.reel.layers[name].findLastIndex(Boolean));
    return ends.length ? Math.min(...ends) : -1;
  }

  hashes(index) {
    return this.shown.map((name) => this.reel.layers[name][index]).filter(Boolean);
  }

  go(index) {
    this.index = Math.max(Math.min(index, this.end), 0);
    for (let i = 0; i <= Math.min(AHEAD, this.end); i++) {
      this.hashes((this.index + i) % (this.end + 1)).forEach((sha256) => this.pictures.get(sha256));
    }
    this.draw();
  }

  toggle() {
    this.playing = !this.playing && this.end > 0;
    this.part("play").textContent = this.playing ? "Pause" : "Play";
    this.part("play").setAttribute("aria-pressed", this.playing);
    if (!this.playing) return;
    this.from = this.index;
    this.since = performance.now();
    this.go(this.index);
    requestAnimationFrame((now) => this.tick(now));
  }

  /** Show the frame that is due by the clock; the clock waits for a picture that is not there. */
  tick(now) {
    if (!this.playing || this.end < 0) return;
    const due = (this.from + Math.floor((Math.max(now - this.since, 0) * this.reel.fps) / 1000)) % (this.end + 1);
    const waits = !this.hashes(due).every((sha256) => this.pictures.settled(sha256));
    this.part("rate").textContent = `${+this.reel.fps.toFixed(3)} fps${waits ? " · loading" : ""}`;
    if (waits) {
      this.go(this.index);
      this.from = this.index;
      this.since = now;
    } else if (due !== this.index) {
      this.go(due);
    }
    requestAnimationFrame((later) => this.tick(later));
  }

  draw() {
    const pictures = this.shown.map((name) => this.pictureOf(name));
    const size = pictures.find(Boolean);
    if (size && (this.canvas.width !== size.naturalWidth || this.canvas.height !== size.naturalHeight)) {
      this.canvas.width = size.naturalWidth;
      this.canvas.height = size.naturalHeight;
      this.canvas.style.setProperty("--ratio", size.naturalWidth / size.naturalHeight);
    }
    this.paint(pictures);
    this.tell();
  }

  pictureOf(name) {
    const sha256 = this.reel.layers[name]?.[this.index];
    return sha256 ? this.pictures.get(sha256) : null;
  }

  paint([first, second]) {
    const { width, height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    pen.fillStyle = "black";
    pen.fillRect(0, 0, width, height);
    if (first) pen.drawImage(first, 0, 0, width, height);
    if (this.shown.length < 2) return;
    const edge = (width * this.part("wipe").value) / 100;
    pen.save();
    pen.beginPath();
    pen.rect(edge, 0, width - edge, height);
    pen.clip();
    pen.fillRect(0, 0, width, height);
    if (second) pen.drawImage(second, 0, 0, width, height);
    pen.restore();
    pen.fillStyle = "rgb(242 163 60)";
    pen.fillRect(edge - width / 640, 0, width / 320, height);
  }

  /** What is said about the frame, in words and by the controls. */
  tell() {
    const nothing = this.end < 0;
    this.part("number").textContent = nothing ? "" : `${this.reel.first + this.index}`;
    this.part("frame").value = this.index;
    this.part("frame").setAttribute("aria-valuetext", `frame ${this.reel.first + this.index}`);
    if (!this.playing) this.part("rate").textContent = `${+this.reel.fps.toFixed(3)} fps ${this.reel.take}`;
    this.part("waiting").hidden = !nothing;
    this.canvas.hidden = nothing;
    this.root.dataset.frame = this.reel.first + this.index;
    this.root.dataset.drawn = this.hashes(this.index).every((sha256) => this.pictures.settled(sha256));
  }

  choose(seen) {
    this.root.querySelector(`input[name=seen][value=${seen}]`).checked = true;
    this.refit();
  }

  /** After other layers were chosen: what can be played has changed. */
  refit() {
    this.part("frame").max = Math.max(this.end, 0);
    this.go(this.index);
  }

  listen() {
    this.part("play").addEventListener("click", () => this.toggle());
    this.part("frame").addEventListener("input", (event) => this.scrub(event.target.valueAsNumber));
    this.part("wipe").addEventListener("input", () => this.choose("wipe"));
    for (const radio of this.root.querySelectorAll("input[name=seen]")) {
      radio.addEventListener("change", () => this.refit());
    }
    for (const limit of ["first", "last"]) {
      this.part(`here-${limit}`).addEventListener("click", () => (this.part(limit).value = this.reel.first + this.index));
    }
    for (const side of ["a", "b"]) {
      this.part(side).addEventListener("change", (event) => {
        event.target.dataset.chosen = "yes";
        this.refit();
      });
    }
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.wipe(event);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) this.wipe(event);
    });
  }

  scrub(index) {
    if (this.playing) this.toggle();
    this.go(index);
  }

  wipe(event) {
    const box = this.canvas.getBoundingClientRect();
    this.part("wipe").value = (100 * (event.clientX - box.left)) / box.width;
    this.choose("wipe");
  }

  press(event) {
    const deeds = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.scrub(this.index - 1),
      ArrowRight: () => this.scrub(this.index + 1),
      Home: () => this.scrub(0),
      End: () => this.scrub(this.end),
      1: () => this.choose("a"),
      2: () => this.choose("b"),
      3: () => this.choose("wipe"),
    };
    if (!(event.key in deeds) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    deeds[event.key]();
  }
}
