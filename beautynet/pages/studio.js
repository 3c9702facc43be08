// The studio: datasets, runs, films. web/studio.py answers.
import {$, $$} from "./stage.js";

const ask = async (path) => {
  const response = await fetch(path);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
};
const at = (...parts) => ["studio", ...parts].map((part) => encodeURIComponent(part)).join("/");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let room = "live", watching = 0;

function open(wanted) {
  room = wanted;
  clearInterval(watching);
  for (const tab of $$("[data-room]")) {
    tab.removeAttribute("aria-current");
    if (tab.dataset.room !== wanted) continue;
    tab.setAttribute("aria-current", "page");
    tab.scrollIntoView({block: "nearest", inline: "nearest"});
    document.title = `beautynet · ${tab.textContent.toLowerCase()}`;
  }
  for (const each of $$(".room")) each.hidden = each.id !== wanted;
  ({datasets: openDatasets, runs: openRuns, films: openFilms, hand: openHand})[wanted]?.();
}
for (const tab of $$("[data-room]")) tab.addEventListener("click", () => { location.hash = tab.dataset.room; });
addEventListener("hashchange", () => open(known()));
const known = () => $$("[data-room]").map((tab) => tab.dataset.room).find((each) => `#${each}` === location.hash) ?? "live";

function options(select, names, keep = select.value) {
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(keep)) select.value = keep;
}

// --- datasets -----------------------------------------------------------------------------------------------------

let dataset = "", shown = 0, last = "", chosen = "";

async function openDatasets() {
  const names = await ask(at("datasets"));
  $("#datasets .empty").hidden = names.length > 0;
  $("#datasets .bar").hidden = !names.length;
  options($("#dataset"), names);
  if (names.length && $("#dataset").value !== dataset) showDataset();
}

async function showDataset() {
  dataset = $("#dataset").value;
  $("#sheet").replaceChildren();
  shown = 0;
  last = chosen = "";
  await more();
}

async function more() {
  const asked = dataset, after = last;
  const found = await ask(`${at("datasets", asked)}?${new URLSearchParams({after})}`).catch((error) => error);
  if (asked !== dataset || after !== last) return;     // another was chosen meanwhile, or this was asked for twice
  $("#count").textContent = found.message ?? `${found.photos.toLocaleString("en")} photos`;
  for (const name of found.names ?? []) {
    const button = document.createElement("button"), image = new Image();
    image.loading = "lazy";
    image.alt = `photo ${shown += 1}`;
    image.src = at("datasets", dataset, "photos", name);
    image.onerror = () => button.remove();
    button.append(image);
    chosen ||= name;
    button.setAttribute("aria-pressed", name === chosen);
    button.addEventListener("click", () => {
      chosen = name;
      for (const each of $$("#sheet button")) each.setAttribute("aria-pressed", each === button);
      showPair();
      $("#pair").scrollIntoView({behavior: still.matches ? "auto" : "smooth", block: "nearest"});
    });
    $("#sheet").append(button);
    last = name;
  }
  $("#more").hidden = !found.message && (!found.names.length || shown >= found.photos);   // it can be asked again
  if (after) return;
  $("#pair").hidden = !chosen;
  showPair();
}

let pairing = 0;
function showPair() {
  const form = $("#pair form"), kind = form.kind.value;
  form.k.closest("label").hidden = form.palette.closest("label").hidden = kind !== "clusters";
  for (const slider of $$("input", form)) $("b", slider.closest("label")).textContent = slider.value;
  const asked = new URLSearchParams({kind, abstraction: form.abstraction.value});
  if (kind === "clusters") { asked.set("k", form.k.value); asked.set("palette", form.palette.value); }
  $("#command").textContent = `beautynet train ${dataset} --condition ${kind} --abstraction ${form.abstraction.value}`
    + (kind === "clusters" ? ` --k ${form.k.value}` + (form.palette.value === "ranked" ? " --palette ranked" : "") : "");
  clearTimeout(pairing);
  if (chosen) pairing = setTimeout(() => { $("#pair img").src = `${at("datasets", dataset, "pairs", chosen)}?${asked}`; }, 80);
}

$("#dataset").addEventListener("change", showDataset);
$("#more").addEventListener("click", more);
$("#pair form").addEventListener("input", (event) => {
  const form = event.currentTarget;   // clusters follow the abstraction until they are set: conditions.py has the same line
  if (event.target.name === "abstraction") form.k.value = Math.round(10.6 - 6 * event.target.value);
  showPair();
});

// --- runs ---------------------------------------------------------------------------------------------------------

const CURVES = {g: "generator", d: "discriminator", adversarial: "adversarial", perceptual: "perceptual", texture: "texture", scenes: "scenes", l1: "L1"};
let newest = -1, following = true, run = "", looking = false;

async function openRuns() {
  const runs = await ask(at("runs"));
  $("#runs .empty").hidden = runs.length > 0;
  $("#runs .bar").hidden = !runs.length;
  options($("#run"), runs);
  if (runs.length) showRun();
  if (room !== "runs") return;
  clearInterval(watching);
  watching = setInterval(lookAgain, 2000);
}

async function lookAgain() {
  if (looking || document.hidden) return;
  looking = true;
  await showRun().catch(() => {});
  looking = false;
}

async function showRun() {
  const name = $("#run").value, found = await ask(at("runs", name));
  if (name !== $("#run").value) return;
  if (run !== name) { run = name; newest = -1; following = true; }
  $("#progress").hidden = false;
  const budget = found.budget, spent = budget ? Math.min(1, budget.steps ? found.steps / budget.steps : found.seconds / budget.seconds) : 0;
  const left = budget ? (budget.steps ? (budget.steps - found.steps) * found.seconds / found.steps : budget.seconds - found.seconds) : 0;
  $("#runstate").textContent = found.running ? "running" : spent >= 0.99 ? "finished" : "stopped";
  $(".meter i").style.width = `${100 * spent}%`;
  $(".meter").setAttribute("aria-valuenow", Math.round(100 * spent));
  const numbers = {images: Math.round(found.images ?? 0).toLocaleString("en"), "images/s": (found.images_per_second ?? 0).toFixed(1),
    spent: clock(found.seconds ?? 0), photos: Math.round(found.photos ?? 0).toLocaleString("en")};
  if (found.running && budget) numbers.left = clock(Math.max(0, left));
  $("#numbers").replaceChildren(...Object.entries(numbers).map(([title, value]) => {
    const box = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = title;
    dd.textContent = value;
    box.append(dt, dd);
    return box;
  }));
  const findings = found.findings.map((each) => [`${each.seen} ${each.advice}`, ""]);
  if (!findings.length) findings.push(found.warming_up ? ["Warming up: too early to say anything.", "early"] : ["Healthy.", "well"]);
  $("#findings").replaceChildren(...findings.map(([text, kind]) => {
    const row = document.createElement("li");
    row.textContent = text;
    row.className = kind;
    return row;
  }));
  $("#curves").replaceChildren(...Object.entries(CURVES).filter(([key]) => found.curves[key].length > 1).map(([key, title]) => curve(title, found.curves[key])));
  const slider = $("#samples input");
  $("#samples").hidden = !found.samples;
  slider.max = Math.max(0, found.samples - 1);
  if (following) slider.value = slider.max;
  showSample();
}

function showSample() {
  const number = +$("#samples input").value;
  $("#samples span").textContent = `sample ${number + 1} of ${+$("#samples input").max + 1}: shown, painted, photo`;
  if (number !== newest && !$("#samples").hidden) $("#samples img").src = `${at("runs", run, "samples", number)}.png`;
  newest = number;
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours} h ${minutes % 60} min` : minutes ? `${minutes} min` : `${Math.round(seconds)} s`;
}

function curve(title, points) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption"), value = document.createElement("b");
  const values = points.map(([, y]) => y).filter(Number.isFinite).sort((a, b) => a - b);
  // the first steps are off the chart: they would press all else flat
  const low = values[0], high = values[Math.floor(0.98 * (values.length - 1))] || 1, end = points.at(-1)[0] || 1;
  const path = points.filter(([, y]) => Number.isFinite(y))
    .map(([x, y], i) => `${i ? "L" : "M"}${(100 * x / end).toFixed(2)} ${(38 - 36 * Math.min(1.05, (y - low) / (high - low || 1))).toFixed(2)}`).join("");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title} loss`);
  line.setAttribute("d", path);
  svg.append(line);
  value.textContent = points.at(-1)[1]?.toFixed(3) ?? "";
  caption.append(title, value);
  figure.append(caption, svg);
  return figure;
}

$("#run").addEventListener("change", () => showRun());
$("#samples input").addEventListener("input", (event) => { following = event.target.value === event.target.max; showSample(); });

// --- films, and whose hand ----------------------------------------------------------------------------------------

async function openFilms() {
  const names = await ask(at("films"));
  $("#films .empty").hidden = names.length > 0;
  $("#gallery").replaceChildren(...names.map((name) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const shows = /\.(gif|webp)$/i.test(name) ? new Image() : document.createElement("video");
    if (shows instanceof HTMLVideoElement) Object.assign(shows, {controls: true, preload: "metadata", loop: true, ariaLabel: name});
    else shows.alt = name;
    shows.src = at("films", name);
    caption.textContent = name;
    figure.append(shows, caption);
    return figure;
  }));
}

function openHand() {
  const frame = $("#hand iframe");
  if (!frame.src) frame.src = "hand/";
}

open(known());
