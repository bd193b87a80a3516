// What the reader has set, and the link that carries it: #seed=7&steps=16&yaw=0.5
const hsemState = (function () {
  "use strict";
  const PLAIN = {
    seed: 7, steps: 16, eta: 0, asyrp: false, from: 1, to: null, swap: null, random: 0,
    randomSeed: 0, randomLike: null, mask: null, on: null,
  };

  // only what is given; numbers stay as they are, the mask is 16 hexadecimal digits
  function read(hash) {
    const found = { strengths: {} };
    for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
      if (key === "asyrp") found.asyrp = text === "1";
      else if (key === "on" || key === "randomLike") found[key] = text;
      else if (key === "mask" && /^[0-9a-f]+$/.test(text)) {
        found.mask = [...text].flatMap((digit) =>
          [8, 4, 2, 1].map((bit) => (parseInt(digit, 16) & bit ? 1 : 0)));
      } else if (text !== "" && Number.isFinite(Number(text))) {
        if (key in PLAIN) found[key] = Number(text);
        else found.strengths[key] = Number(text);
      }
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
