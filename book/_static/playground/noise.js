// The noise of `hsem.draw_noise`: PyTorch's generator on the CPU, so that a seed is the same person
// here and in Python. A function, because the worker is made from its text (see page.js).
function hsemNoise() {
  "use strict";

  // Mersenne Twister (mt19937), seeded as torch.Generator().manual_seed does
  class Generator {
    constructor(seed) {
      this.state = new Uint32Array(624);
      this.state[0] = seed;
      for (let j = 1; j < 624; j++) {
        const s = this.state[j - 1] ^ (this.state[j - 1] >>> 30);
        this.state[j] = Math.imul(1812433253, s) + j;
      }
      this.next = 624;
    }

    twist() {
      const s = this.state;
      for (let k = 0; k < 624; k++) {
        const y = (s[k] & 0x80000000) | (s[(k + 1) % 624] & 0x7fffffff);
        s[k] = s[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }

    // a whole number from 0 to 2^32 - 1
    random() {
      if (this.next === 624) this.twist();
      let y = this.state[this.next++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    }

    // torch.randn(n), float32: uniforms of 24 bits
    randn(n) {
      return normal(n, Float32Array, () => (this.random() & 0xffffff) / 2 ** 24);
    }

    // torch.randn(n, dtype=torch.float64): uniforms of 53 bits out of two numbers
    randn64(n) {
      return normal(n, Float64Array, () => {
        const high = this.random() & 0x1fffff;
        return (high * 2 ** 32 + this.random()) / 2 ** 53;
      });
    }
  }

  // All uniforms first, then Box and Muller's transform in blocks of 8 + 8.
  function normal(n, Kind, uniform) {
    if (n < 16) throw new RangeError(`torch draws fewer than 16 numbers in another way, got ${n}`);
    const out = new Kind(n);
    for (let i = 0; i < n; i++) out[i] = uniform();
    for (let i = 0; i + 16 <= n; i += 16) transform(out, i);
    if (n % 16) {
      for (let i = n - 16; i < n; i++) out[i] = uniform();
      transform(out, n - 16);
    }
    return out;
  }

  function transform(out, start) {
    for (let j = start; j < start + 8; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - out[j]));
      const angle = 2 * Math.PI * out[j + 8];
      out[j] = radius * Math.cos(angle);
      out[j + 8] = radius * Math.sin(angle);
    }
  }

  return { Generator };
}
