// What the reader has set, and the link that carries it: #seed=7&steps=16&yaw=0.5
const hsemState = (function () {
  "use strict";
  const PLAIN = {
    seed: 7, steps: 16, eta: 0, asyrp: false, from: 1, to: null, swap: null, random: 0,
    randomSeed: 0, randomLike: null, mask: null, on: null,
  };

  // from, to, and whether it is a whole number; what lies outside is left out
  const PERSON = [0, 2 ** 32 - 1, true], STRENGTH = [-1.5, 1.5, false], STEP = [1, 50, true];
  const RANGES = {
    seed: PERSON, swap: PERSON, randomSeed: PERSON, random: STRENGTH, eta: [0, 1, false],
    steps: [4, 50, true], from: STEP, to: STEP,
  };

  function number(text, [least, most, whole]) {
    const value = text.trim() === "" ? NaN : Number(text);
    const fits = value >= least && value <= most && (!whole || Number.isInteger(value));
    return fits ? value : null;
  }

  // Only what is given and can be meant; anybody may have written the link. The rest is named in
  // `ignored`. Whatever is not known here may be a direction. The mask is hexadecimal.
  function read(hash) {
    const found = { strengths: {}, ignored: [] };
    for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
      const isKnown = Object.prototype.hasOwnProperty.call(RANGES, key);
      const value = number(text, isKnown ? RANGES[key] : STRENGTH);
      if (key === "asyrp" && /^[01]$/.test(text)) found.asyrp = text === "1";
      else if (key === "on" && /^(wasm|webgpu)$/.test(text)) found.on = text;
      else if (key === "randomLike") found.randomLike = text;
      else if (key === "mask" && /^[0-9a-f]{1,4096}$/.test(text)) {
        found.mask = [...text].flatMap((digit) =>
          [8, 4, 2, 1].map((bit) => (parseInt(digit, 16) & bit ? 1 : 0)));
      } else if (value === null || (!isKnown && key in PLAIN)) {
        found.ignored.push(`${key}=${text}`.slice(0, 40));
      } else if (isKnown) found[key] = value;
      else if (/^\w{1,40}$/.test(key) && !(key in found.strengths)) found.strengths[key] = value;
      else found.ignored.push(`${key}=${text}`.slice(0, 40));
    }
    return found;
  }

  // The link of a state; what is as at first is left out, but for the seed. Steps count from 1.
  function write(state) {
    const out = new URLSearchParams({ seed: state.seed });
    const put = (key, value, plain) => { if (value !== plain) out.set(key, value); };
    put("steps", state.steps, PLAIN.steps);
    put("eta", state.eta, PLAIN.eta);
    for (const [name, value] of Object.entries(state.strengths)) put(name, value, 0);
    if (state.random) {
      out.set("random", state.random);
      out.set("randomSeed", state.randomSeed);
      out.set("randomLike", state.randomLike);
    }
    if (state.asyrp) out.set("asyrp", 1);
    put("from", state.from + 1, 1);
    put("to", state.to + 1, state.steps);
    put("swap", state.swap, null);
    if (state.mask.includes(0)) {
      const bits = state.mask.join("");
      out.set("mask", bits.match(/.{1,4}/g).map((b) => parseInt(b, 2).toString(16)).join(""));
    }
    if (state.on) out.set("on", state.on);
    return "#" + out;
  }

  return { PLAIN, read, write };
})();
