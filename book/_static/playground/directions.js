// Directions as `hsem.results` stores them (8 bits, one scale per step and channel), brought to
// another grid of timesteps as `Direction.resampled` does, and random ones of the same length.
function hsemDirections(noise) {
  "use strict";

  // A safetensors file: length of the header, header in JSON, numbers.
  function read(buffer) {
    const size = Number(new DataView(buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
    const numbers = (name) => {
      const { dtype, data_offsets: [from, to] } = header[name];
      const bytes = buffer.slice(8 + size + from, 8 + size + to);
      return dtype === "I8" ? new Int8Array(bytes) : new Float32Array(bytes);
    };
    const found = {};
    for (const [name, [times]] of Object.entries(JSON.parse(header.__metadata__.directions))) {
      const levels = numbers(`levels/${name}`), scale = numbers(`scale/${name}`);
      const perScale = levels.length / scale.length, perStep = levels.length / times.length;
      const rows = times.map((_, i) => {
        const row = new Float32Array(perStep);
        for (let k = 0; k < perStep; k++) {
          const at = i * perStep + k;
          row[k] = levels[at] * scale[Math.floor(at / perScale)];
        }
        return row;
      });
      found[name] = { times, rows };
    }
    return found;
  }

  const length = (row) => Math.sqrt(row.reduce((sum, v) => sum + v * v, 0));

  // hsem.random_like(direction, torch.Generator().manual_seed(seed))
  function randomLike(direction, seed) {
    const perStep = direction.rows[0].length;
    const all = new noise.Generator(seed).randn64(direction.rows.length * perStep);
    const rows = direction.rows.map((like, i) => {
      const row = all.subarray(i * perStep, (i + 1) * perStep);
      const factor = length(like) / length(row);
      return Float32Array.from(row, (v) => v * factor);
    });
    return { times: direction.times, rows };
  }

  // The row at timestep t: linear in t, the end rows beyond the ends.
  function at(direction, t) {
    const { times, rows } = direction; // times descend
    const last = times.length - 1;
    if (t >= times[0]) return rows[0];
    if (t <= times[last]) return rows[last];
    const right = times.findIndex((other) => other <= t);
    const weight = (times[right - 1] - t) / (times[right - 1] - times[right]);
    return rows[right].map((v, k) => rows[right - 1][k] + weight * (v - rows[right - 1][k]));
  }

  return { read, randomLike, at };
}
