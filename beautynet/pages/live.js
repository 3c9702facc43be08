// The live room: frames go out over a WebSocket and dreams come back. web/viewing.py is the other end.
// Nothing waits in a queue: a frame is sent when an answer is due to come soon, and is the newest one then.
import {$, $$, begin, closeCamera, grab, hush, isRecording, measure, openCamera, show, takesFiles, trouble, video} from "./stage.js";

const IN_FLIGHT = 2;          // frames on their way: one is dreamt while the next one travels
const SHORT_SIDE = 480;       // px of what the camera's frames are sent at
const STALE = 5000;           // ms after which a frame without an answer is given up; more where answers take long
const SILENCE = 6000;         // ms after which the server is asked whether it is still there

const wish = {};              // what the viewer wants other than the network’s own; see Wish in web/viewing.py
let socket = null, ready = false, source = null, number = 0, busy = false, about = {}, heard = 0, complained = false, stale = STALE;
const sent = new Map();       // number -> {frame, at}

// --- talking to the server ----------------------------------------------------------------------------------------

function connect() {
  const address = new URL("stream", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { ready = true; heard = Date.now(); forget(); hush(); say(); };
  socket.onmessage = (event) => {
    heard = Date.now();
    typeof event.data === "string" ? told(JSON.parse(event.data)) : dreamt(event.data);
  };
  socket.onclose = lost;
}

function lost() {
  socket.onclose = socket.onmessage = null;
  socket.close();
  trouble("The server does not answer: is beautynet live still running? Trying again …");
  ready = false;
  setTimeout(connect, 1500);
}

// A network that is gone says nothing, nor does a socket over it; a picture that stands still says nothing either.
async function listen() {
  if (!ready || !source || document.hidden || Date.now() - heard < SILENCE) return;
  const gone = new AbortController(), over = socket;
  const patience = setTimeout(() => gone.abort(), 4000);
  try {
    await fetch("about", {signal: gone.signal});
    heard = Date.now();
    say();                    // over a socket that is gone, though its server is not, this ends in onclose
  } catch {
    if (over === socket && ready) lost();
  } finally {
    clearTimeout(patience);
  }
}

// Nobody sees a page out of sight: the network is left to others, unless what it shows is recorded.
function say() {
  if (!ready) return;
  const away = document.hidden && !isRecording();
  socket.send(JSON.stringify({...wish, source: source === "browser" || away ? null : source, seen: $("#seen").checked}));
}
document.addEventListener("visibilitychange", say);

function told(message) {
  complained = Boolean(message.error);
  if (complained) {
    forget();                 // a frame that could not be dreamt gets no answer
    return trouble(message.error);
  }
  hush();
  const network = message.network;
  for (const field of $$("#controls [data-for]")) {
    field.hidden = !field.dataset.for.split(" ").includes(network.kind);
    const slider = $("input", field);
    if (wish[slider.dataset.wish] === undefined) slider.value = network[slider.dataset.wish];
    label(slider);
  }
}

async function dreamt(data) {
  const view = new DataView(data), length = view.getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  let at = 4 + length;
  const parts = {};
  await Promise.all(head.parts.map(async ([name, size]) => {
    const blob = new Blob([new Uint8Array(data, at, size)], {type: "image/jpeg"});
    at += size;
    parts[name] = await createImageBitmap(blob);
  }));
  const mine = sent.get(head.number), took = mine ? performance.now() - mine.at : head.milliseconds;
  stale = Math.max(STALE, 3 * took);
  if (source === "browser" && !mine) return Object.values(parts).forEach((each) => each.close());   // given up, or of another source
  for (const key of sent.keys()) if (key < head.number) drop(key);
  sent.delete(head.number);
  const original = parts.seen ?? parts.original ?? mine.frame;
  if (parts.seen) parts.original?.close();
  if (mine && original !== mine.frame) mine.frame.close();
  show(original, parts.dream);
  if (complained) hush();
  complained = false;
  measure(took, head.dropped);
}

function drop(key) {
  sent.get(key).frame.close();
  sent.delete(key);
}

function forget() { for (const key of sent.keys()) drop(key); }

// --- what is shown to it ------------------------------------------------------------------------------------------

async function choose(wanted) {
  if (wanted === "file") return $("#file").click();
  if (wanted === "browser" ? await openCamera() : (closeCamera(), true)) become(wanted);
}

function become(wanted) {
  source = wanted;
  forget();
  begin(["browser", "camera"].includes(wanted) ? wanted : "file");
  say();
}

async function sendFrame() {
  requestAnimationFrame(sendFrame);
  const now = performance.now();
  for (const [key, each] of sent) if (now - each.at > stale) drop(key);
  if (source !== "browser" || !ready || busy || sent.size >= IN_FLIGHT || !video.videoWidth || socket.bufferedAmount) return;
  busy = true;
  try {
    const scale = Math.min(1, SHORT_SIDE / Math.min(video.videoWidth, video.videoHeight));
    const canvas = grab(video, Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
    const [frame, blob] = await Promise.all([createImageBitmap(canvas), new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9))]);
    const data = new Uint8Array(4 + blob.size);
    number = (number + 1) >>> 0;
    new DataView(data.buffer).setUint32(0, number, true);
    data.set(new Uint8Array(await blob.arrayBuffer()), 4);
    if (source !== "browser" || !ready) return frame.close();
    sent.set(number, {frame, at: now});
    socket.send(data);
  } finally {
    busy = false;
  }
}

takesFiles(async (file) => {
  if (file.size > about.max_upload)
    return trouble(`${file.name} is larger than ${about.max_upload / 1e6} MB: choose a shorter film.`, true);
  trouble(`taking in ${file.name} …`);
  try {
    const response = await fetch("uploads", {method: "POST", body: file});
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    closeCamera();
    become(answer.upload);
  } catch (error) {
    trouble(`${file.name} cannot be shown: ${error.message}`, true);
  }
});

// --- controls -----------------------------------------------------------------------------------------------------

function label(slider) {
  const value = +slider.value, shown = $("b", slider.closest(".field"));
  shown.textContent = slider.dataset.wish === "size" ? `${value} px` : Number.isInteger(+slider.step) ? value : value.toFixed(2);
}

let saying = 0;
for (const slider of $$("[data-wish]")) slider.addEventListener("input", () => {
  wish[slider.dataset.wish] = +slider.value;
  label(slider);
  clearTimeout(saying);
  saying = setTimeout(say, 60);
});
$("#reset").addEventListener("click", () => {
  for (const name of Object.keys(wish)) if (name !== "checkpoint") delete wish[name];
  say();
});
$("#checkpoint").addEventListener("change", (event) => { wish.checkpoint = event.target.value; say(); });
$("#seen").addEventListener("change", say);
for (const button of $$("[data-source]")) button.addEventListener("click", () => choose(button.dataset.source));

try {
  about = await (await fetch("about")).json();
} catch {
  trouble("The server does not answer: begin beautynet live anew, and open the address that it prints.");
  throw new Error("no answer");
}
$("#checkpoint").replaceChildren(...about.checkpoints.map((name) => new Option(name, name)));
for (const button of $$("[data-source=camera]")) button.hidden = !about.camera;
$("[data-room=hand]").hidden = !about.classifier;
connect();
setInterval(listen, 2000);
requestAnimationFrame(sendFrame);
