// The stage: original and dream drawn together, the camera before it, and what is kept of it. Of the live page and of exported
// ones: where frames are dreamt is not its business.

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

const stage = $("#stage"), picture = $("#picture"), brush = picture.getContext("2d");
const scratch = document.createElement("canvas"), scratchBrush = scratch.getContext("2d", {willReadFrequently: true});
const wipe = $("#wipe");
export const video = document.createElement("video");
video.muted = video.loop = video.playsInline = true;

let layout = "side", arranged = false;    // until the viewer chooses a layout, it is what shows the most
let last = null, camera = null, asked = 0, recorder = null, onFile = () => {};
const pace = {frames: 0, since: performance.now(), latency: 0};

// --- showing ------------------------------------------------------------------------------------------------------

export function show(original, dream) {
  if (last) for (const each of [last.original, last.dream]) if (each !== original && each !== dream) each.close();
  last = {original, dream};
  draw();
}

function draw() {
  if (!last) return;
  const {original, dream} = last;
  const {width, height} = original.width > dream.width ? original : dream;    // the larger, so that neither loses anything
  if (!arranged) {
    const room = stage.getBoundingClientRect(), side = Math.min(room.width / (2 * width), room.height / height);
    arrange(Math.min(room.width / width, room.height / (2 * height)) > side ? "stack" : "side");
  }
  const across = layout === "side" ? 2 : 1, down = layout === "stack" ? 2 : 1;
  if (picture.width !== width * across || picture.height !== height * down) {
    picture.width = width * across;
    picture.height = height * down;
  }
  brush.imageSmoothingQuality = "high";
  if (layout === "only") return brush.drawImage(dream, 0, 0, width, height);
  brush.drawImage(original, 0, 0, width, height);
  if (layout === "side") brush.drawImage(dream, width, 0, width, height);
  else if (layout === "stack") brush.drawImage(dream, 0, height, width, height);
  else {
    const line = Math.round(wipe.value / 100 * width), share = line / width;
    if (line < width) brush.drawImage(dream, share * dream.width, 0, (1 - share) * dream.width, dream.height, line, 0, width - line, height);
    brush.fillStyle = "#fff";
    brush.fillRect(line - 1, 0, 2, height);
  }
}

export function measure(latency, dropped) {
  pace.frames += 1;
  pace.latency = pace.latency ? 0.85 * pace.latency + 0.15 * latency : latency;
  const now = performance.now();
  if (now - pace.since < 500) return;
  $("#rate").textContent = (pace.frames * 1000 / (now - pace.since)).toFixed(1);
  $("#latency").textContent = Math.round(pace.latency);
  $("#dropped").textContent = dropped;
  Object.assign(pace, {frames: 0, since: now});
}

export function begin(source) {
  if ($("#welcome").contains(document.activeElement)) stage.focus();
  $("#welcome").hidden = true;
  picture.hidden = $("#figures").hidden = false;
  $("#snapshot").disabled = false;
  $("#record").disabled = !window.MediaRecorder || !picture.captureStream;
  for (const button of $$("#sources button")) button.setAttribute("aria-pressed", button.dataset.source === source);
  hush();
  stayAwake();
}

// What is wrong, until it no longer is (`hush`); what went by, for some seconds.
export function trouble(text, passing = false) {
  clearTimeout(trouble.ends);
  if ($("#trouble").hidden || $("#trouble").textContent !== text) $("#trouble").textContent = text;   // not read aloud again and again
  $("#trouble").hidden = false;
  if (passing) trouble.ends = setTimeout(hush, 8000);
}

export function hush() { $("#trouble").hidden = true; }

export const isRecording = () => recorder !== null;

// A phone or projector goes dark when nobody touches it; the lock is lost with the page out of sight.
function stayAwake() { navigator.wakeLock?.request("screen").catch(() => {}); }
document.addEventListener("visibilitychange", () => { if (!document.hidden && last) stayAwake(); });

// --- the camera ---------------------------------------------------------------------------------------------------

export async function openCamera(id, facing = "user") {
  if (!navigator.mediaDevices?.getUserMedia) {
    trouble("This browser lends its camera only to pages on https, or to this very machine. Choose a picture or film instead.");
    return false;
  }
  closeCamera();
  const mine = asked;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({video: id ? {deviceId: {exact: id}} : {facingMode: facing, width: {ideal: 1280}}});
    if (mine !== asked) {       // something else was chosen meanwhile
      stream.getTracks().forEach((track) => track.stop());
      return false;
    }
    video.srcObject = camera = stream;
    await video.play();
  } catch (error) {
    if (mine !== asked) return false;
    closeCamera();
    trouble(error.name === "NotAllowedError" ? "The browser was not allowed to use the camera: allow it beside the address, and try again."
      : error.name === "NotFoundError" ? "There is no camera here. Choose a picture or film instead." : `The camera does not start: ${error.message}`);
    return false;
  }
  const [track] = camera.getVideoTracks(), {deviceId, facingMode} = track.getSettings();
  track.onended = () => trouble("The camera has stopped: plug it in, or close what else uses it, and choose it again.");
  if (facingMode) $("#mirror").checked = facingMode === "user";
  const lenses = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  $("#lens").hidden = lenses.length < 2;
  $("#lens").replaceChildren(...lenses.map((device, i) => new Option(device.label || `camera ${i + 1}`, device.deviceId)));
  $("#lens").value = deviceId;
  hush();
  return true;
}

export function closeCamera() {
  asked += 1;
  camera?.getTracks().forEach((track) => track.stop());
  camera = video.srcObject = null;
  $("#lens").hidden = true;
}

// What a video or picture shows just now, on a canvas of `width` by `height`; a camera's mirrored, if that is ticked.
export function grab(source, width, height) {
  scratch.width = width;
  scratch.height = height;
  scratchBrush.imageSmoothingQuality = "high";
  scratchBrush.save();
  if (camera && $("#mirror").checked) { scratchBrush.translate(width, 0); scratchBrush.scale(-1, 1); }
  scratchBrush.drawImage(source, 0, 0, width, height);
  scratchBrush.restore();
  return scratch;
}

$("#lens").addEventListener("change", (event) => openCamera(event.target.value));

// --- files --------------------------------------------------------------------------------------------------------

// What to do with a film or picture that is chosen, dropped or pasted.
export function takesFiles(take) { onFile = take; }

$("#file").addEventListener("change", (event) => {
  if (event.target.files[0]) onFile(event.target.files[0]);
  event.target.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) stage.addEventListener(kind, (event) => {
  event.preventDefault();
  stage.classList.toggle("over", kind === "dragover");
  if (kind === "drop" && event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => { if (event.clipboardData.files[0]) onFile(event.clipboardData.files[0]); });

// --- layout, snapshot, film ---------------------------------------------------------------------------------------

function arrange(wanted) {
  if (recorder) return;       // a film keeps its size
  layout = wanted;
  for (const button of $$("#layouts button")) button.setAttribute("aria-pressed", button.dataset.layout === layout);
  wipe.hidden = layout !== "wipe";
}

function choose(wanted) {
  arranged = true;
  arrange(wanted);
  draw();
}

for (const button of $$("#layouts button")) button.addEventListener("click", () => choose(button.dataset.layout));

for (const kind of ["pointermove", "pointerdown"]) picture.addEventListener(kind, (event) => {
  if (layout !== "wipe" || (event.pointerType !== "mouse" && !event.buttons)) return;
  const box = picture.getBoundingClientRect(), scale = Math.min(box.width / picture.width, box.height / picture.height);
  wipe.value = 50 + 100 * (event.clientX - box.left - box.width / 2) / (picture.width * scale);
  draw();
});
wipe.addEventListener("input", draw);

function save(blob, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `beautynet-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function record() {
  if (recorder) return recorder.stop();
  const type = ["video/mp4;codecs=avc1.42E01F", "video/webm;codecs=vp9", "video/webm"].find((each) => MediaRecorder.isTypeSupported(each));
  const pieces = [], began = performance.now();
  recorder = new MediaRecorder(picture.captureStream(), {mimeType: type, videoBitsPerSecond: 8e6});
  const tick = setInterval(() => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    $("#recording b").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    draw();                   // the stream of a canvas that does not change has no frames
  }, 250);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    clearInterval(tick);
    recorder = null;
    $("#record").classList.remove("on");
    $("#record").textContent = "Record";
    $("#recording").hidden = true;
    save(new Blob(pieces, {type: type.split(";")[0]}), type.includes("mp4") ? "mp4" : "webm");
  };
  recorder.start(1000);
  $("#record").classList.add("on");
  $("#record").textContent = "Stop";
  $("#recording").hidden = false;
}

// The key's letter or digit; where it writes no Latin letter, the one of its place: Cyrillic, say, or a French digit without Shift.
const latin = ({key, code}) => /^[a-z]$/i.test(key) ? key.toLowerCase() : code.replace(/^Key|^Digit/, "").toLowerCase();

function full() {
  if (document.fullscreenElement) return document.exitFullscreen();
  stage.requestFullscreen?.();
  stage.focus();              // for the keys
}

$("#snapshot").addEventListener("click", () => picture.toBlob((blob) => save(blob, "png"), "image/png"));
$("#record").addEventListener("click", record);
$("#full").addEventListener("click", full);
$("#full").hidden = !document.fullscreenEnabled;
document.addEventListener("click", ({target, pointerType}) => {    // the keys go on working
  if (pointerType === "mouse" && target.closest("#controls button")) stage.focus({preventScroll: true});
});
document.addEventListener("keydown", (event) => {
  const free = document.activeElement === document.body || stage.contains(document.activeElement);    // elsewhere a letter may be dictated, or slip
  if (!free || event.ctrlKey || event.metaKey || event.altKey || $("#live").hidden) return;
  const keys = {f: full, s: () => $("#snapshot").click(), r: () => $("#record").click(),
    1: () => choose("side"), 2: () => choose("stack"), 3: () => choose("only"), 4: () => choose("wipe")};
  (keys[event.key] ?? keys[latin(event)])?.();
});
