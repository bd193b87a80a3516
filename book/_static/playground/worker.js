// What the worker does: it loads the graphs once, then draws the latest state it was sent. Any later
// message, "stop" as well, ends the work on an earlier one.
function hsemWorker(makeEngine, noise, diffusion, directions) {
  "use strict";
  let engine, Superseded, latest = 0;

  // RGBA bytes of a picture (3, H, W) in [-1, 1]
  function bytes(image) {
    const area = image.length / 3, out = new Uint8ClampedArray(4 * area); // clamps and rounds
    for (let k = 0; k < area; k++) {
      for (let c = 0; c < 3; c++) out[4 * k + c] = (image[c * area + k] + 1) * 127.5;
      out[4 * k + 3] = 255;
    }
    return out;
  }

  // what live.py packed -> the file
  async function unpack({ text, planes }) {
    const packed = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text)
      : Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const dealt = new Uint8Array(await new Response(stream).arrayBuffer());
    const file = new Uint8Array(dealt.length);
    for (let from = 0, plane = 0; plane < planes; plane++) {
      for (let k = plane; k < file.length; k += planes) file[k] = dealt[from++];
    }
    return file.buffer;
  }

  // Let messages in: a newer state ends the work on this one.
  const { port1, port2 } = new MessageChannel();
  let go;
  port1.onmessage = () => go();
  const breathe = () => new Promise((resolve) => { go = resolve; port2.postMessage(0); });

  async function load({ packed, threads, gpu }) {
    const files = {};
    for (const [name, parts] of Object.entries(packed)) files[name] = await unpack(parts);
    const url = (part, type) => URL.createObjectURL(new Blob([part], { type }));
    importScripts(url(files["ort.js"], "text/javascript"));
    ort.env.wasm.wasmBinary = files["ort.wasm"];
    ort.env.wasm.wasmPaths = { mjs: url(files["ort.mjs"], "text/javascript") };
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    const options = {
      executionProviders: [gpu ? "webgpu" : "wasm"],
      graphOptimizationLevel: gpu ? "all" : "disabled", // live.py did it for the processor
      logSeverityLevel: 3, // errors
    };
    const session = (name) => files[name] &&
      ort.InferenceSession.create(new Uint8Array(files[name]), options);
    const about = JSON.parse(new TextDecoder().decode(files["model.json"]));
    const known = files["directions.safetensors"]
      ? directions.read(files["directions.safetensors"]) : {};
    const graphs = [];
    for (const name of ["encoder", "decoder", "classifier"]) {
      graphs.push(await session(`${name}.onnx`)); // one after the other, as the runtime wants it
    }
    const made = makeEngine(ort, noise, diffusion, directions);
    Superseded = made.Superseded;
    engine = new made.Engine(about, ...graphs, known);
    return { about, directions: Object.keys(known) };
  }

  async function draw(id, state) {
    const show = async (which, done, total, image) => {
      postMessage({ kind: "step", id, which, done, total, pixels: image && bytes(image) });
      await breathe();
      if (id !== latest) throw new Superseded();
    };
    const drawn = await engine.draw(state, show);
    for (const side of [drawn.before, drawn.after]) side.pixels = bytes(side.image);
    return drawn;
  }

  let queue = Promise.resolve(); // one at a time
  onmessage = ({ data }) => {
    const { kind, id } = data;
    latest = id;
    queue = queue.then(async () => {
      if (id !== latest) return;
      try {
        if (kind === "load") postMessage({ kind: "loaded", id, ...(await load(data)) });
        if (kind === "draw") postMessage({ kind: "drawn", id, ...(await draw(id, data.state)) });
      } catch (error) {
        if (Superseded && error instanceof Superseded) return;
        postMessage({ kind: "failed", id, message: String(error && error.message || error) });
      }
    });
  };
}
