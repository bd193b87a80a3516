// Equations 2 to 5, as in hsem/diffusion: noise levels, and one step of the sampler.
function hsemDiffusion() {
  "use strict";

  // Python's round: halves go to the even neighbour
  function round(x) {
    const low = Math.floor(x);
    if (x - low !== 0.5) return Math.round(x);
    return low % 2 === 0 ? low : low + 1;
  }

  // T timesteps from noise to picture, spread as diffusers spreads them (Schedule.spaced)
  function timesteps(about, steps) {
    const n = about.alpha_bar.length;
    if (!(steps >= 1 && steps <= n)) throw new RangeError(`steps must be 1 to ${n}, got ${steps}`);
    const spread = {
      trailing: (k) => round(n - k * (n / steps)) - 1,
      leading: (k) => Math.floor(n / steps) * (steps - 1 - k) + about.steps_offset,
      linspace: (k) => (steps === 1 ? 0 : round(((steps - 1 - k) * (n - 1)) / (steps - 1))),
    }[about.timestep_spacing];
    return Array.from({ length: steps }, (_, k) => spread(k));
  }

  // alpha_bar before and after step i; no noise is left after the last
  function levels(about, times, i) {
    const last = i + 1 === times.length;
    return [about.alpha_bar[times[i]], last ? 1 : about.alpha_bar[times[i + 1]]];
  }

  // equation 5
  function sigma(a, aPrev, eta) {
    return eta * Math.sqrt((1 - aPrev) / (1 - a)) * Math.sqrt(1 - a / aPrev);
  }

  // Predicted noise and predicted picture (eq. 3) from the network's output. From v both are
  // rotations of (x, v); eq. 3 would divide the rounding error of eps by sqrt(a).
  function predict(about, x, output, a) {
    const [p, q] = [Math.sqrt(a), Math.sqrt(1 - a)];
    const isV = about.prediction_type === "v_prediction";
    const eps = new Float32Array(x.length), x0 = new Float32Array(x.length);
    for (let k = 0; k < x.length; k++) {
      eps[k] = isV ? p * output[k] + q * x[k] : output[k];
      x0[k] = isV ? p * x[k] - q * output[k] : (x[k] - q * output[k]) / p;
    }
    return { eps, x0 };
  }

  // equations 2 and 4: the next x out of x0, the noise that points to it, and fresh noise z
  function step(x0, eps, z, aPrev, sigmaT) {
    const [p, d] = [Math.sqrt(aPrev), Math.sqrt(Math.max(1 - aPrev - sigmaT ** 2, 0))];
    const x = new Float32Array(x0.length);
    for (let k = 0; k < x.length; k++) {
      x[k] = p * x0[k] + d * eps[k] + (sigmaT > 0 ? sigmaT * z[k] : 0);
    }
    return x;
  }

  return { timesteps, levels, sigma, predict, step };
}
