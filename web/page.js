// The page: hands files to the worker, and shows what it says.

import { drawChannels, drawImage, listAnswer, percent, textElement, writeTables } from "./drawing.js";

const by = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en-US");
const COMPONENTS = ["Y", "Cb", "Cr"];

// Ask the worker; the promise is refused with its message.
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let lastId = 0;

function ask(question, details = {}) {
  return new Promise((resolve, reject) => {
    waiting.set(++lastId, { resolve, reject });
    worker.postMessage({ id: lastId, ask: question, ...details });
  });
}

worker.addEventListener("message", ({ data }) => {
  if (data.id === undefined) return say(`Loading the network: ${megabytes(data.loaded)} of ${megabytes(data.size)} MB ...`);
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.refused === undefined) resolve(data);
  else reject(new Error(data.refused));
});
worker.addEventListener("error", (event) => refuse(`this browser cannot run the page: ${event.message || "its worker stopped"}`));

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
const say = (text) => { by("said").textContent = text; };
const state = (text) => { document.body.dataset.state = text; };

function refuse(text) {
  say("");
  by("refused").textContent = text;
  state("refused");
}

let page; // what `start` answered
let photo = null; // what `open` answered
let full = null; // what `show` answered for all channels
let busy = false;
let opened = 0; // number of the latest file: answers about earlier ones are dropped

async function start() {
  page = await ask("start");
  const slider = by("count");
  slider.max = page.order.length;
  slider.value = Math.min(24, page.order.length);
  const sets = Object.entries(page.sets).filter(([count]) => Number(count) < page.order.length);
  by("sets").replaceChildren(
    ...[...sets, [page.order.length, "all"]].map(([count, name]) => {
      const button = textElement("button", name === "all" ? `All ${count}` : name);
      button.type = "button";
      button.dataset.count = count;
      button.addEventListener("click", () => { slider.value = count; update(); });
      return button;
    }),
  );
  by("no-network").hidden = page.name !== null;
  by("trained").hidden = page.trained !== false;
  by("trained").textContent = "The network is untrained, so its answers mean nothing.";
  if (page.home) {
    by("home").hidden = false;
    by("home").firstElementChild.href = page.home;
  }
  describeKept();
  say(page.name === null ? "Ready. This copy has no network." : `Ready. The network is ${page.name}.`);
  state("ready");
}

const ready = start().catch((error) => refuse(error.message));

async function open(file, name) {
  const mine = ++opened;
  by("refused").textContent = "";
  state("busy");
  say(`Reading ${name} ...`);
  await ready;
  try {
    const answer = await ask("open", { file });
    if (mine !== opened) return;
    photo = { ...answer, name };
    full = await ask("show", { count: page.order.length });
    if (mine !== opened) return;
    showFacts();
    by("shown").hidden = false;
    await update();
  } catch (error) {
    if (mine !== opened) return;
    photo = null;
    by("shown").hidden = by("facts").hidden = by("warned").hidden = true;
    refuse(`${name}: ${error.message}`);
  }
}

function showFacts() {
  const { facts } = photo;
  const sampling = facts.components.map((one) => `${one.samplingH} x ${one.samplingV}`).join(", ");
  const blocks = facts.components.reduce((sum, one) => sum + one.blocksDown * one.blocksAcross, 0);
  const { top, left, height, width } = facts.box;
  const rows = [
    ["File", `${photo.name}, ${number.format(facts.size)} bytes`],
    ["Image", `${facts.width} x ${facts.height} pixels${facts.orientation > 1 ? `, EXIF orientation ${facts.orientation}` : ""}`],
    ["Coding", `${facts.process}, ${facts.scans} ${facts.scans === 1 ? "scan" : "scans"}`],
    ["Color", `${{ gray: "gray", ycbcr: "YCbCr", rgb: "RGB" }[facts.color]}, sampling ${sampling}`],
    ["Blocks", `${number.format(blocks)}, ${number.format(64 * blocks)} coefficients`],
    ["Crop", `${width} x ${height} pixels from (${left}, ${top}), resized to ${page.grid[1]} x ${page.grid[0]} blocks`],
  ];
  by("facts").replaceChildren(...rows.flatMap(([name, text]) => [textElement("dt", name), textElement("dd", text)]));
  by("facts").hidden = false;
  by("warned").hidden = facts.warnings.length === 0;
  by("warned").querySelector("summary").textContent = `${facts.warnings.length} oddities of the file`;
  by("warned").querySelector("ul").replaceChildren(...facts.warnings.map((text) => textElement("li", text)));
}

const countsOf = (channels) => COMPONENTS.map((_, component) => channels.filter((channel) => channel >> 6 === component).length);
const keptNow = () => page.order.slice(0, Number(by("count").value));

function describeKept() {
  const kept = keptNow();
  const [down, across] = page.grid;
  const size = page.dtype === "int8" ? 1 : 4;
  const bytes = kept.length * down * across * size;
  const pixels = 3 * 64 * down * across;
  const name = page.sets[kept.length];
  const parts = countsOf(kept).map((count, i) => `${count} ${COMPONENTS[i]}`).join(", ");
  const words = `${kept.length} channels: ${parts}${name ? `, the published set ${name}` : ""}`;
  by("number").textContent = kept.length;
  by("count").setAttribute("aria-valuetext", words);
  by("kept").textContent =
    `${words}. The network takes ${number.format(bytes)} bytes (${page.dtype}), ${percent(bytes / pixels)} of the ` +
    `${number.format(pixels)} bytes of ${8 * across} x ${8 * down} RGB pixels.`;
  for (const button of by("sets").children) button.setAttribute("aria-pressed", String(Number(button.dataset.count) === kept.length));
}

// Show what the slider asks for; while the worker is busy only the latest position counts.
async function update() {
  describeKept();
  if (busy || photo === null) return;
  busy = true;
  try {
    for (let shown = -1; photo !== null && shown !== keptNow().length; ) {
      state("busy");
      const mine = opened;
      shown = keptNow().length;
      const some = await ask("show", { count: shown });
      if (mine !== opened) return; // `open` calls again
      draw(some);
    }
  } finally {
    busy = false;
  }
  if (document.body.dataset.state === "busy" && photo !== null) state("shown");
}

function draw(some) {
  const channels = page.order.slice(0, some.count);
  const kept = new Set(channels);
  by("some-title").textContent = `${some.count} channels`;
  by("full-title").textContent = `All ${page.order.length} channels`;
  for (const [name, answer] of [["some", some], ["full", full]]) {
    drawImage(by(name), answer.image);
    const said = answer.top ? `; the network says ${answer.top[0].name}, ${percent(answer.top[0].probability)}` : "";
    by(name).setAttribute("aria-label", `${photo.name} from ${answer.count} channels${said}`);
    if (answer.top) listAnswer(by(`${name}-answer`), answer.top);
  }
  countsOf(channels).forEach((count, component) => {
    drawChannels(by(`map-${component}`), photo.coefficients, component, page.grid, kept);
    by(`map-${component}`).setAttribute("aria-label", `${COMPONENTS[component]}: ${count} of 64 frequencies kept`);
  });
  writeTables(by("tables"), photo.coefficients, page.grid, kept);
  by("times").textContent =
    `Read in ${photo.milliseconds.toFixed(1)} ms` + (some.top ? `; the network took ${some.milliseconds.toFixed(0)} ms.` : ".");
  say(some.top ? `With ${some.count} channels: ${words(some)}. With all: ${words(full)}.` : `${photo.name} with ${some.count} channels.`);
}

const words = ({ top }) => `${top[0].name}, ${percent(top[0].probability)}`;

// A drawing, as a JPEG made by the browser.
async function drawnExample() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 480, height: 400 });
  const context = canvas.getContext("2d");
  const sky = context.createLinearGradient(0, 0, 0, 400);
  sky.addColorStop(0, "#3f8fd6");
  sky.addColorStop(1, "#e8f3fb");
  context.fillStyle = sky;
  context.fillRect(0, 0, 480, 400);
  context.fillStyle = "#f5c33b";
  context.beginPath();
  context.arc(370, 90, 45, 0, 7);
  context.fill();
  context.fillStyle = "#4d6b3c";
  context.beginPath();
  context.moveTo(0, 330);
  context.lineTo(150, 130);
  context.lineTo(290, 310);
  context.lineTo(380, 220);
  context.lineTo(480, 320);
  context.lineTo(480, 400);
  context.lineTo(0, 400);
  context.fill();
  context.strokeStyle = "#2c2418";
  for (let i = 0; i < 24; ++i) {
    context.lineWidth = 1 + (i % 4);
    context.strokeRect(20 * i, 340 + (i % 3) * 6, 14, 60);
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

by("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) open(target.files[0], target.files[0].name);
  target.value = ""; // so that the same file can be chosen again
});
by("drawn").addEventListener("click", async () => open(await drawnExample(), "the drawn example"));
by("count").addEventListener("input", update);
for (const kind of ["dragenter", "dragover"]) {
  by("drop").addEventListener(kind, (event) => { event.preventDefault(); by("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  by("drop").addEventListener(kind, (event) => { event.preventDefault(); by("drop").classList.remove("over"); });
}
by("drop").addEventListener("drop", ({ dataTransfer }) => {
  if (dataTransfer.files[0]) open(dataTransfer.files[0], dataTransfer.files[0].name);
});

// Works offline from the second visit on, where the browser allows it (https, or this machine).
if ("serviceWorker" in navigator) navigator.serviceWorker.register(new URL("./sw.js", import.meta.url)).catch(() => {});
