// All that takes time, off the page's thread: decoding, resampling, pixels, the network.
//
// Requests are {id, ask, ...}, answers {id, ...} or {id, refused}. `start` loads; `open` reads a file and gives its facts and its
// coefficients on the network's grid; `show` gives the image and the answer of the first `count` channels of the order.
// A message without id tells how much of the network is loaded.

import { loadCore } from "./core.js";
import { centerBox, pixelsOf } from "./geometry.js";
import { Network } from "./network.js";

// Without a network: the whole grid of 224 x 224 pixels, in float32.
const PLAIN = { grid: [28, 28], dtype: "float32", crop_fraction: 0.875, filter: "bilinear" };
const ALL = Array.from({ length: 192 }, (_, channel) => channel);

let core;
let settings;
let network = null;
let input;
let order;
let current = null;

async function start() {
  [core, settings] = await Promise.all([loadCore(), fetch("page.json").then((response) => response.json())]);
  if (settings.network) {
    network = await Network.load(settings.network, (loaded, size) => postMessage({ loaded, size }));
  }
  input = network ? network.input : { ...PLAIN, channels: ALL, shift: ALL.map(() => 0), unit: ALL.map(() => 1) };
  order = settings.order.filter((channel) => input.channels.includes(channel));
  return {
    order,
    sets: settings.sets,
    home: settings.home,
    grid: input.grid,
    dtype: input.dtype,
    name: network && network.manifest.name,
    trained: network && network.manifest.trained,
  };
}

async function open({ file }) {
  current = null;
  core.checkSize(file.size);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const began = performance.now();
  const photo = core.open(bytes);
  try {
    const box = centerBox(photo.height, photo.width, input.crop_fraction, input.grid[1] / input.grid[0]);
    const values = photo.resample({ ...input, box });
    const milliseconds = performance.now() - began;
    const coefficients = photo.resample({ ...input, box, channels: ALL, shift: ALL.map(() => 0), unit: ALL.map(() => 1), dtype: "float32" });
    current = { values };
    return {
      facts: {
        size: bytes.length, height: photo.height, width: photo.width, orientation: photo.orientation, scans: photo.scans,
        color: photo.color, process: photo.process, warnings: photo.warnings, components: photo.components, box,
      },
      coefficients,
      milliseconds,
    };
  } finally {
    photo.close();
  }
}

// The values with all channels but the first `count` of the order at the value of coefficient 0.
function keep(count) {
  const kept = new Set(order.slice(0, count));
  const size = input.grid[0] * input.grid[1];
  const values = current.values.slice();
  input.channels.forEach((channel, i) => {
    if (kept.has(channel)) return;
    const zero = -input.shift[i] / input.unit[i];
    values.fill(input.dtype === "int8" ? Math.round(zero) : zero, i * size, (i + 1) * size);
  });
  return { values, kept };
}

async function show({ count }) {
  if (current === null) throw new Error("no photo is open");
  const { values, kept } = keep(count);
  const size = input.grid[0] * input.grid[1];
  const chosen = input.channels.map((channel, i) => [channel, i]).filter(([channel]) => kept.has(channel));
  const coefficients = new Float32Array(chosen.length * size);
  chosen.forEach(([, i], place) => {
    for (let at = 0; at < size; ++at) {
      coefficients[place * size + at] = input.shift[i] + input.unit[i] * values[i * size + at];
    }
  });
  const image = pixelsOf(coefficients, chosen.map(([channel]) => channel), input.grid);
  const answer = { image, count };
  if (network) {
    const began = performance.now();
    answer.probabilities = await network.probabilities(values);
    answer.milliseconds = performance.now() - began;
    const places = Array.from(answer.probabilities.keys());
    places.sort((a, b) => answer.probabilities[b] - answer.probabilities[a] || a - b);
    answer.top = places.slice(0, 5).map((place) => ({ name: network.labels[place], probability: answer.probabilities[place] }));
  }
  return answer;
}

const handlers = { start, open, show };
let last = Promise.resolve(); // one request at a time: each waits for those before it

addEventListener("message", ({ data }) => {
  last = last.then(async () => {
    try {
      postMessage({ id: data.id, ...(await handlers[data.ask](data)) });
    } catch (error) {
      postMessage({ id: data.id, refused: error.message });
    }
  });
});
