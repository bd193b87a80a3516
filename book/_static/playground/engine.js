// The sampler that runs in the worker: the network in two halves, and an edit of h between them.
// It computes only what a change touches: the plain run of a seed is kept, and an edited run
// starts from it at the first step of the window, with the encoder's result already there.
function hsemEngine(ort, noise, diffusion, directions) {
  "use strict";
  const KEPT = 4; // plain runs kept

  class Superseded extends Error {}

  class Engine {
    constructor(about, encoder, decoder, classifier, known) {
      Object.assign(this, { about, encoder, decoder, classifier, known });
      this.size = about.image_shape.reduce((a, b) => a * b);
      this.context = ["t_emb", ...about.context.slice(1).map((_, k) => `skip_${k}`)];
      this.runs = new Map();
      this.random = {};
      this.count = { encoder: 0, decoder: 0 };
    }

    tensor(data, shape) {
      return new ort.Tensor("float32", data, [1, ...shape]);
    }

    // x, t -> h, context
    async encode(x, t) {
      this.count.encoder++;
      const { h, ...context } = await this.encoder.run({
        x: this.tensor(x, this.about.image_shape),
        t: new ort.Tensor("float32", [t], [1]),
      });
      return { h: h.data, context };
    }

    // h, context -> eps or v
    async decode(h, context) {
      this.count.decoder++;
      const feeds = { h: this.tensor(h, this.about.h_shape), ...context };
      return (await this.decoder.run(feeds)).output.data;
    }

    async scores(x) {
      if (!this.classifier) return [];
      const clipped = x.map((v) => Math.min(Math.max(v, -1), 1)); // as pictures are shown
      const feeds = { images: this.tensor(clipped, this.about.image_shape) };
      return [...(await this.classifier.run(feeds)).scores.data];
    }

    // What is known about the run without edits: x before each step, h in it; grows as it is made.
    plainRun(seed, steps, eta) {
      const key = [seed, steps, eta].join();
      const run = this.runs.get(key) || this.newRun(seed, steps, eta);
      this.runs.delete(key);
      this.runs.set(key, run); // the last used is last
      for (const old of this.runs.keys()) {
        if (this.runs.size > KEPT) this.runs.delete(old);
      }
      return run;
    }

    newRun(seed, steps, eta) {
      const generator = new noise.Generator(seed);
      const x = [generator.randn(this.size)];
      const z = Array.from({ length: eta > 0 ? steps : 0 }, () => generator.randn(this.size));
      const times = diffusion.timesteps(this.about, steps);
      return { times, eta, z, x, h: [], x0: [], context: {}, scores: null };
    }

    // One step of a run from x, with h edited by `edit` (none: null).
    async step(run, i, x, known, edit, asyrp) {
      const { h, context } = known || (await this.encode(x, run.times[i]));
      const [a, aPrev] = diffusion.levels(this.about, run.times, i);
      const output = await this.decode(edit ? edit(i, h) : h, context);
      const { eps, x0 } = diffusion.predict(this.about, x, output, a);
      let epsD = eps;
      if (edit && asyrp) {
        epsD = diffusion.predict(this.about, x, await this.decode(h, context), a).eps;
      }
      const sigma = diffusion.sigma(a, aPrev, run.eta);
      return { h, context, x0, x: diffusion.step(x0, epsD, run.z[i], aPrev, sigma) };
    }

    // Complete a plain run; the context is kept for one step, the first that may be edited.
    async complete(run, keep, told) {
      const steps = run.times.length;
      while (run.h.length < steps) {
        const i = run.h.length;
        const { h, context, x0, x } = await this.step(run, i, run.x[i], null, null, false);
        run.h.push(h);
        run.x0.push(x0);
        run.x.push(x);
        if (i === keep) run.context = { [i]: context };
        await told(i + 1, x0);
      }
      return run.x[steps];
    }

    // The edit that a state asks for: (i, h) -> h, or null; the same as, in Python,
    // only_at(masked(chain(swap(h_seq), add(direction, strength), ...), mask), window)
    edit(state, run, other) {
      const terms = Object.entries(state.strengths)
        .filter(([name, strength]) => strength !== 0 && this.known[name])
        .map(([name, strength]) => [this.known[name], strength]);
      if (state.random !== 0 && this.known[state.randomLike]) {
        const key = `${state.randomLike} ${state.randomSeed}`;
        this.random[key] ||= directions.randomLike(
          this.known[state.randomLike], state.randomSeed);
        terms.push([this.random[key], state.random]);
      }
      if ((!terms.length && !other) || !state.mask.includes(1)) return null;
      const area = state.mask.length;
      return (i, h) => {
        if (i < state.from || i > state.to) return h;
        const goal = Float32Array.from(other ? other.h[i] : h);
        for (const [direction, strength] of terms) {
          const row = directions.at(direction, run.times[i]);
          for (let k = 0; k < goal.length; k++) goal[k] += strength * row[k];
        }
        for (let k = 0; k < goal.length; k++) if (!state.mask[k % area]) goal[k] = h[k];
        return goal;
      };
    }

    // Draw a state; `show(which, done, total, picture)` is told after each step and may throw.
    async draw(state, show) {
      const start = { ...this.count }, began = performance.now();
      const { steps, from } = state;
      const run = this.plainRun(state.seed, steps, state.eta);
      const swapped = state.swap !== null && state.swap !== state.seed;
      const other = swapped ? this.plainRun(state.swap, steps, state.eta) : null;
      const edit = this.edit(state, run, other);
      const missing = (r) => (r ? steps - r.h.length : 0);
      const total = missing(run) + (edit ? missing(other) + steps - from : 0);
      let done = 0;

      const image = await this.complete(run, from, (i, x0) => show("before", ++done, total, x0));
      run.scores ||= await this.scores(image);
      await show("before", done, total, image);
      let edited = image, scores = run.scores;
      if (edit) {
        if (other) await this.complete(other, from, () => show(null, ++done, total, null));
        if (!run.context[from]) {
          run.context = { [from]: (await this.encode(run.x[from], run.times[from])).context };
        }
        let x = run.x[from], known = { h: run.h[from], context: run.context[from] };
        for (let i = from; i < steps; i++) {
          const now = await this.step(
            run, i, x, known, i > state.to ? null : edit, state.asyrp);
          [x, known] = [now.x, null];
          await show("after", ++done, total, now.x0);
        }
        [edited, scores] = [x, await this.scores(x)];
      }
      return {
        before: { image, scores: run.scores },
        after: { image: edited, scores },
        seconds: (performance.now() - began) / 1000,
        runs: {
          encoder: this.count.encoder - start.encoder,
          decoder: this.count.decoder - start.decoder,
        },
      };
    }
  }

  return { Engine, Superseded };
}
