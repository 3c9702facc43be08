// Runs the network, away from the page so that the page stays quick. Pixels come and go as RGBA bytes; the networks take and give
// planes of floats in [-1, 1]. A condition may remember the frame before, so that colours stay: begin.onnx sees pictures and the
// first frame of a scene, follow.onnx the others.

const CUT = 0.42, GRAIN = 12, FLASH = 40;   // how unlike frames of different scenes are, as in film/frames.py
let ort = null, about = {}, networks = {}, memory = null;

// The runtime asks for addresses of 4 GiB, whatever it needs; some phones do not lend as many (onnxruntime#22086).
const {Memory} = WebAssembly;
WebAssembly.Memory = function (wanted) {
  for (;;) {
    try { return new Memory(wanted); } catch (error) {
      if (!(error instanceof RangeError && wanted.maximum > 8192)) throw error;
      wanted = {...wanted, maximum: wanted.maximum >> 1};
    }
  }
};
WebAssembly.Memory.prototype = Memory.prototype;

// Safari's own engine, in every browser of an iPhone: its WebGPU takes ever more memory here (onnxruntime#26827).
const isWebKit = /AppleWebKit/.test(navigator.userAgent) && !/Chrom(e|ium)\//.test(navigator.userAgent);

async function start(threads, careful) {
  let gpu = null;
  try { gpu = about.labels || careful || isWebKit ? null : await navigator.gpu?.requestAdapter(); } catch { /* none, then */ }
  for (const device of gpu ? ["webgpu", "wasm"] : ["wasm"]) {
    try {
      ort = await import(device === "webgpu" ? "./ort.webgpu.min.js" : "./ort.wasm.min.js");
      const engine = `ort-wasm-simd-threaded${device === "webgpu" ? ".asyncify" : ""}`;
      ort.env.wasm.wasmPaths = {mjs: new URL(`${engine}.js`, import.meta.url).href, wasm: new URL(`${engine}.wasm`, import.meta.url).href};
      ort.env.wasm.numThreads = threads;
      ort.env.logLevel = "error";
      networks = {};
      for (const file of about.networks) {
        // k-means is many small steps with whole numbers: not for a GPU
        const providers = device === "webgpu" && file === "generator.onnx" ? ["webgpu", "wasm"] : ["wasm"];
        networks[file] = await ort.InferenceSession.create(file, {executionProviders: providers, logSeverityLevel: 3});
      }
      const side = Math.ceil(about.size / about.multiple) * about.multiple;
      await run(about.labels ? "model.onnx" : "generator.onnx", [picture(new Float32Array(3 * side * side), side, side)]);    // what does not run says so now
      return postMessage({ready: device === "webgpu" ? "on this machine’s GPU" : `on ${threads} of this machine’s processors`});
    } catch (error) {
      if (device === "wasm") postMessage({trouble: `This browser cannot run the network (${error.message}): try a newer one.`});
    }
  }
}

const picture = (values, width, height) => new ort.Tensor("float32", values, [1, 3, height, width]);

async function run(file, given) {
  const network = networks[file];
  const found = await network.run(Object.fromEntries(network.inputNames.map((name, i) => [name, given[i]])));
  return network.outputNames.map((name) => found[name]);
}

const values = async (tensor) => tensor.getData ? await tensor.getData() : tensor.data;

const distance = (one, other) => one.reduce((sum, value, i) => sum + Math.abs(value - other[i % other.length]), 0) / one.length;

// Every 17th pixel: how far it is from their mean, and how far on average.
function sampled(pixels) {
  const some = Float32Array.from(pixels.filter((_, i) => i % 68 < 3)), mean = [0, 0, 0];
  some.forEach((value, i) => { mean[i % 3] += value * 3 / some.length; });
  const content = some.map((value, i) => value - mean[i % 3]);
  return {content, mean, contrast: distance(content, [0])};
}

const isCut = (one, other) => distance(one.content, other.content) > CUT * (one.contrast + other.contrast + GRAIN)
  || distance(one.mean, other.mean) > FLASH;

// What the network is shown: of a picture by itself, of a film with what the frame before it left.
async function look(photo, pixels, film) {
  const sample = sampled(pixels), size = String(photo.dims);
  const follows = film && networks["follow.onnx"] && memory?.size === size && !isCut(sample, memory.sample);
  const [shown, ...left] = follows ? await run("follow.onnx", [photo, ...memory.left]) : await run("begin.onnx", [photo]);
  memory = {left, sample, size};
  return shown;
}

function planes(pixels) {
  const count = pixels.length / 4, floats = new Float32Array(3 * count);
  for (let i = 0, j = 0; i < count; i++, j += 4) {
    floats[i] = pixels[j] / 127.5 - 1;
    floats[i + count] = pixels[j + 1] / 127.5 - 1;
    floats[i + 2 * count] = pixels[j + 2] / 127.5 - 1;
  }
  return floats;
}

function rgba(floats) {
  const count = floats.length / 3, pixels = new Uint8ClampedArray(4 * count);   // rounds and clips by itself
  for (let i = 0, j = 0; i < count; i++, j += 4) {
    pixels[j] = (floats[i] + 1) * 127.5;
    pixels[j + 1] = (floats[i + count] + 1) * 127.5;
    pixels[j + 2] = (floats[i + 2 * count] + 1) * 127.5;
    pixels[j + 3] = 255;
  }
  return pixels;
}

onmessage = async ({data}) => {
  if (data.about) {
    about = data.about;
    return start(data.threads, data.careful);
  }
  const {pixels, width, height, frame, at} = data;
  try {
    const photo = picture(planes(pixels), width, height);
    if (about.labels) {
      const shares = await values((await run("model.onnx", [photo]))[0]);
      const labels = about.labels.map((label, i) => [label, shares[i]]).sort((a, b) => b[1] - a[1]);
      return postMessage({labels, frame, at}, [frame]);
    }
    const shown = await look(photo, pixels, data.film);
    const seen = data.seen ? [rgba(await values(shown)), width, height] : null;
    const dream = [rgba(await values((await run("generator.onnx", [shown]))[0])), width, height];
    postMessage({dream, seen, frame, at}, [frame, dream[0].buffer, ...(seen ? [seen[0].buffer] : [])]);
  } catch (error) {
    memory = null;
    postMessage({trouble: `The network stopped: ${error.message}`});
  }
};
