// A network in anyone's browser: frames go to worker.js, which runs it, and come back as dreams or labels.
import {$, $$, begin, closeCamera, grab, hush, measure, openCamera, show, takesFiles, trouble, video} from "./stage.js";

const SHORT_SIDE = 480;       // px of what is shown beside the dream
const still = new Image();
let source = null, worker = null, about = {}, ready = false, waiting = false, fresh = false, dropped = 0, careful = false, complained = false, first = "", saying = 0;

// Several threads need memory that they share, and a browser shares it only on pages that are cut off from all others: a service
// worker says so of this page where its server does not. Without it one thread runs.
const alone = globalThis.crossOriginIsolated ?? false;    // older ones do not know the word

async function isolated() {
  try {
    if (alone || !isSecureContext || !navigator.serviceWorker || sessionStorage.getItem("isolated")) return;
    await navigator.serviceWorker.register("isolate.js");
    await navigator.serviceWorker.ready;
    sessionStorage.setItem("isolated", "tried");
    location.reload();
    await new Promise(() => {});
  } catch { /* in a private window, say, or where cookies are blocked */ }
}

function start() {
  worker = new Worker("worker.js", {type: "module"});
  worker.onerror = (event) => stopped(`The network does not run: ${event.message}`);
  worker.onmessage = ({data}) => {
    if (data.trouble) return stopped(data.trouble);
    if (data.ready) {
      ready = true;
      $("#where").textContent = data.ready;
      return hush();
    }
    waiting = false;
    if (complained) hush();
    complained = false;
    data.labels ? named(data) : dreamt(data);
  };
  worker.postMessage({about, careful, threads: alone ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1});
  trouble("The network is on its way …");
}

// A GPU may be lost, and memory run out: once, it is begun anew without the GPU.
function stopped(why) {
  waiting = false;
  if (careful || !navigator.gpu) {
    complained = true;
    return trouble(why);
  }
  careful = true;
  ready = false;
  fresh = true;
  worker.terminate();
  start();
}

async function dreamt({dream, seen, frame, at}) {
  const [painted, shown] = await Promise.all([dream, seen].map((each) => each && createImageBitmap(new ImageData(...each))));
  if (shown) frame.close();
  show(shown || frame, painted);
  measure(performance.now() - at, dropped);
}

function named({labels, frame, at}) {
  show(frame, frame);
  measure(performance.now() - at, dropped);
  if (labels[0][0] !== first) {      // said once it has held for a second: a film's change with each frame
    first = labels[0][0];
    clearTimeout(saying);
    saying = setTimeout(() => { $("#state").textContent = first; }, 1000);
  }
  $("#labels").replaceChildren(...labels.slice(0, 6).map(([label, share]) => {
    const row = document.createElement("li"), line = document.createElement("span"), name = document.createElement("bdi");
    const part = document.createElement("b"), bar = document.createElement("meter");
    name.textContent = label;
    part.textContent = `${Math.round(100 * share)} %`;
    bar.value = share;
    bar.ariaHidden = "true";
    line.append(name, part);
    row.append(line, bar);
    return row;
  }));
}

// The sides at which the network works: the shorter one as trained, both in the steps that it needs.
function sides(width, height) {
  if (about.labels) return [about.size, about.size];
  const scale = $("#size").value / Math.min(width, height), step = about.multiple;
  return [width, height].map((side) => Math.max(step, Math.round(side * scale / step) * step));
}

// Each frame of a film or camera is looked at as it comes; what comes while one is dreamt replaces the one before it.
function watch() {
  if (source !== "picture") {
    dropped += fresh;
    fresh = true;
  }
  video.requestVideoFrameCallback ? video.requestVideoFrameCallback(watch) : requestAnimationFrame(watch);
}

async function tick() {
  requestAnimationFrame(tick);
  const from = source === "picture" ? still : video, width = from.videoWidth || from.naturalWidth, height = from.videoHeight || from.naturalHeight;
  if (!source || !ready || !width || !fresh || waiting) return;
  waiting = true;
  fresh = false;
  const at = performance.now(), scale = Math.min(1, SHORT_SIDE / Math.min(width, height)), [w, h] = sides(width, height);
  let frame;
  try {
    frame = await createImageBitmap(grab(from, Math.round(width * scale), Math.round(height * scale)));
    const pixels = grab(from, w, h).getContext("2d").getImageData(0, 0, w, h).data;
    worker.postMessage({pixels, width: w, height: h, seen: $("#seen").checked, film: source !== "picture", frame, at}, [pixels.buffer, frame]);
  } catch (error) {             // a phone out of memory: the next frame of a film or camera is another chance
    waiting = false;
    frame?.close();
    trouble(`This frame could not be shown to the network (${error.message}).`, true);
  }
}

function become(wanted) {
  source = wanted;
  fresh = true;
  dropped = 0;
  first = $("#state").textContent = "";
  begin(wanted === "browser" ? "browser" : "file");
  if (!ready) trouble("The network is on its way …");
}

takesFiles(async (file) => {
  closeCamera();
  video.removeAttribute("src");
  const address = URL.createObjectURL(file), film = file.type.startsWith("video/");
  try {
    if (film) { video.src = address; await video.play(); } else { still.src = address; await still.decode(); }
    become(film ? "film" : "picture");
  } catch {
    trouble(`${file.name} cannot be shown: this browser does not know such ${film ? "films" : "pictures"}.`, true);
  }
});

for (const button of $$("[data-source]")) button.addEventListener("click", async () => {
  if (button.dataset.source === "file") return $("#file").click();
  if (await openCamera(null, about.labels ? "environment" : "user")) become("browser");
});
$("#seen").addEventListener("change", () => { fresh = true; });
$("#size").addEventListener("input", () => { fresh = true; label(); });
const label = () => { $("b", $("#size").closest("label")).textContent = `${$("#size").value} px`; };

if (typeof WebAssembly !== "object" || !window.Worker) {
  trouble("This browser can run neither WebAssembly nor WebGPU, so it cannot run the network: try a newer one.");
} else if (location.protocol === "file:") {
  trouble("Browsers do not run this from a folder: type “python -m http.server” in it, and open http://localhost:8000");
} else {
  await isolated();
  try {
    about = await (await fetch("about.json")).json();
  } catch (error) {
    trouble(`about.json, which is beside this page, cannot be had (${error.message}): load the page anew.`);
    throw error;
  }
  document.title = `beautynet · ${about.name}`;
  if (about.labels) {
    $("#about").textContent = `It tells ${about.labels.length} labels from each other: ${about.labels.slice(0, 8).join(", ")}.`;
    $("#labels").hidden = false;
    $("#mirror").checked = false;    // a phone's other camera, which looks at the wall
    for (const each of $$(".dreams")) each.hidden = true;
    $("[data-layout=only]").click();
  } else {
    Object.assign($("#size"), {min: 2 * about.multiple, max: Math.max(512, about.size), step: about.multiple});
    $("#size").value = about.size;
    label();
  }
  start();
  watch();
  tick();
}
