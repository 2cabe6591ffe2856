// An exported network (docs/formats/exported-networks.md) run by onnxruntime-web.

export class Network {
  // Load the network of a folder; `tell` is called with the loaded and all bytes of its graph.
  static async load(folder, tell) {
    const read = async (name) => {
      const response = await fetch(folder + name);
      if (!response.ok) throw new Error(`${folder}${name} is missing (${response.status}); build the page again`);
      return response;
    };
    const manifest = await (await read("manifest.json")).json();
    const labels = await (await read("labels.json")).json();
    const size = manifest.files[manifest.graph.file].size_bytes;
    const graph = await readAll(await read(manifest.graph.file), size, tell);
    const ort = await import("./ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
    ort.env.wasm.numThreads = 1; // more need headers that static servers do not send
    const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
    return new Network(ort, session, manifest, labels);
  }

  constructor(ort, session, manifest, labels) {
    Object.assign(this, { ort, session, manifest, labels });
    this.input = { ...manifest.input, channels: manifest.input.bands.channels };
  }

  // The probabilities of all classes for one photo's values.
  async probabilities(values) {
    const { ort, input } = this;
    const tensor = new ort.Tensor(input.dtype, values, [1, input.channels.length, ...input.grid]);
    const result = await this.session.run({ [this.session.inputNames[0]]: tensor });
    const output = result[this.session.outputNames[0]].data;
    return this.manifest.output === "probabilities" ? Float32Array.from(output) : softmax(output);
  }
}

async function readAll(response, size, tell) {
  const bytes = new Uint8Array(size);
  let at = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes.set(value, at);
    at += value.length;
    tell(at, size);
  }
  if (at !== size) throw new Error(`the network has ${at} bytes instead of ${size}; build the page again`);
  return bytes;
}

export function softmax(logits) {
  const highest = logits.reduce((most, one) => Math.max(most, one), -Infinity);
  const powers = Float32Array.from(logits, (one) => Math.exp(one - highest));
  const sum = powers.reduce((total, one) => total + one, 0);
  return powers.map((one) => one / sum);
}
