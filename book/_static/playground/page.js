// The page of the playground: loads the runtime and the model when asked, and shows what the worker
// draws. Plain scripts and no modules, so that the page also works when opened from disk.
(function () {
  "use strict";
  const base = document.currentScript.src.replace(/playground\/page\.js.*$/, "");
  const received = {};
  window.hsemLive = (name, text, planes) => { received[name] = { text, planes }; };

  function script(name) {
    return new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = base + "live/" + name;
      tag.onload = () => resolve(tag.remove());
      tag.onerror = () => reject(new Error(
        "this copy of the book was built without the model (`make html` adds it)"));
      document.head.append(tag);
    });
  }

  // the smallest module with an instruction on 128 bits
  const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0,
    65, 0, 253, 15, 253, 98, 11];

  function missing() {
    if (typeof WebAssembly !== "object") return "WebAssembly";
    if (!WebAssembly.validate(new Uint8Array(SIMD))) return "SIMD in WebAssembly";
    if (typeof Worker !== "function") return "workers";
    if (typeof DecompressionStream !== "function") return "DecompressionStream";
    return null;
  }

  async function hasGPU(wanted) {
    if (wanted === "wasm" || !navigator.gpu) return false;
    const adapter = await navigator.gpu.requestAdapter().catch(() => null);
    return Boolean(adapter && (wanted === "webgpu" || !(adapter.info || {}).isFallbackAdapter));
  }

  // The worker is made of the text of these functions: from disk it could load no script.
  function makeWorker() {
    const text = `const noise = (${hsemNoise})(), diffusion = (${hsemDiffusion})();
      const directions = (${hsemDirections})(noise);
      (${hsemWorker})(${hsemEngine}, noise, diffusion, directions);`;
    return new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  }

  function threads() {
    if (!window.crossOriginIsolated) return 1; // else there is no shared memory
    return Math.min(navigator.hardwareConcurrency || 1, 8);
  }

  class Playground {
    constructor(root) {
      this.root = root;
      this.id = 0;
      const start = root.querySelector("button");
      const lacks = missing();
      if (lacks) {
        this.say(`This browser cannot run the model: it has no ${lacks}. The board shows what ` +
          "you would draw.");
        return;
      }
      this.wanted = hsemState.read(location.hash);
      start.hidden = false;
      if (this.wanted.seed !== undefined) {
        start.querySelector("span").textContent = `Start with person ${this.wanted.seed}`;
      }
      start.addEventListener("click", () => this.start(start));
    }

    say(text) { this.root.querySelector("[role=status]").textContent = text; }

    async start(button) {
      button.disabled = true;
      this.wanted = hsemState.read(location.hash); // a link may have been pasted meanwhile
      this.say("Loading the model …");
      try {
        const gpu = await hasGPU(this.wanted.on);
        const model = script("model.js");
        const loaded = await this.load(gpu, model).catch((error) => {
          if (!gpu) throw error;
          return this.load(false, model); // a GPU that cannot: the processor can
        });
        this.begun(loaded);
        this.controls = hsemControls(this.root, loaded, this.wanted,
          { changed: () => this.draw(), stop: () => this.stop() });
        this.note(this.wanted, loaded);
        window.addEventListener("hashchange", () => {
          if (hsemState.write(this.controls.state()) === location.hash) return;
          const given = hsemState.read(location.hash);
          this.controls.set(given);
          this.note(given, loaded);
          this.draw();
        });
        button.remove();
        this.say("Drawing …");
        this.draw();
        this.controls.focus();
      } catch (error) {
        button.disabled = false;
        this.say(`The model could not be started: ${error.message}. The board shows what ` +
          "you would draw.");
      }
    }

    begun({ gpu, threads }) {
      for (const name of Object.keys(received)) delete received[name]; // the worker has them
      this.where = gpu ? "the GPU" : threads > 1 ? `${threads} threads` : "one thread";
      this.gpu = gpu;
    }

    // A GPU may also give up while it draws.
    async withoutGPU() {
      this.gpu = false;
      this.say("The GPU gave up; going on with the processor …");
      try {
        this.begun(await this.load(false, script("model.js")));
        this.draw();
      } catch (error) {
        this.hear({ kind: "failed", id: this.id, message: error.message });
      }
    }

    async load(gpu, model) {
      await Promise.all([model, script(gpu ? "webgpu.js" : "wasm.js")]);
      if (this.worker) this.worker.terminate();
      this.worker = makeWorker();
      const message = { kind: "load", id: 0, packed: received, threads: threads(), gpu };
      return new Promise((resolve, reject) => {
        this.worker.onerror = (event) => reject(new Error(event.message || "no worker"));
        this.worker.onmessage = ({ data }) => {
          if (data.kind === "failed") return reject(new Error(data.message));
          this.worker.onmessage = ({ data: news }) => this.hear(news);
          this.worker.onerror = (event) => this.hear(
            { kind: "failed", id: this.id, message: event.message || "the worker ended" });
          return resolve({ ...data, threads: message.threads, gpu });
        };
        this.worker.postMessage(message);
      });
    }

    // what a link asked for and does not get
    note({ ignored, strengths, randomLike, mask }, { about, directions }) {
      const left = [...ignored];
      for (const [name, strength] of Object.entries(strengths)) {
        if (!directions.includes(name)) left.push(`${name}=${strength}`);
      }
      if (randomLike && !directions.includes(randomLike)) left.push("randomLike");
      if (mask && mask.length !== about.h_shape[1] * about.h_shape[2]) left.push("mask");
      this.left = left.length ? ` Left out of the link: ${left.slice(0, 5).join(", ")}.` : "";
    }

    draw() {
      this.root.dataset.state = "drawing";
      this.controls.busy(true);
      this.state = this.controls.state();
      this.worker.postMessage({ kind: "draw", id: ++this.id, state: this.state });
    }

    stop() {
      if (this.root.dataset.state !== "drawing") return;
      this.worker.postMessage({ kind: "stop", id: ++this.id });
      this.root.dataset.state = "stopped";
      this.controls.busy(false);
      this.say("Stopped. Whatever you set next is drawn.");
    }

    hear(news) {
      if (news.id !== this.id) return;
      if (news.kind === "failed" && this.gpu) {
        this.withoutGPU();
        return;
      }
      if (news.kind !== "step") this.controls.busy(false);
      if (news.kind === "failed") {
        this.say(`It failed: ${news.message}. Loading this page again helps most often.`);
        this.root.dataset.state = "failed";
      } else if (news.kind === "step") {
        this.controls.progress(news.done, news.total);
        if (news.pixels) this.controls.picture(news.which, news.pixels);
      } else {
        this.controls.show(news, this.state);
        // not at every move of a slider: browsers refuse to change the address that often
        history.replaceState(null, "", hsemState.write(this.state));
        this.root.dataset.runs = JSON.stringify(news.runs);
        this.root.dataset.seconds = news.seconds.toFixed(2);
        this.root.dataset.state = "drawn";
        this.controls.where(
          `Drawn in ${news.seconds.toFixed(1)} s on ${this.where}: the encoder ran ` +
          `${news.runs.encoder} times, the decoder ${news.runs.decoder} times.${this.left}`);
        this.left = "";
      }
    }
  }

  window.addEventListener("DOMContentLoaded", () => {
    const root = document.getElementById("hsem-playground");
    if (root) root.playground = new Playground(root);
  });
})();
