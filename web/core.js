// The compiled core, as objects: open a JPEG, look at its coefficients, resample a crop. Runs in pages, workers and Node.

import createModule from "./prepixel_photo.mjs";

// What is wrong with a file: `message` reads like the library's own, `kind` is one of malformed, damaged, truncated,
// unsupported, limit, internal.
export class PhotoError extends Error {
  constructor({ kind, what, hint, offset }) {
    const place = offset === undefined ? "" : `byte ${offset}: `;
    super(place + what + (hint ? `. ${hint}` : ""));
    this.name = "PhotoError";
    this.kind = kind;
  }
}

// Load the core once; `options` go to Emscripten (in Node: wasmBinary).
export async function loadCore(options = {}) {
  return new Core(await createModule(options));
}

class Core {
  constructor(module) {
    this.module = module;
  }

  // PhotoError: a file of so many bytes is larger than the core takes.
  checkSize(size) {
    this.answer(this.module._prepixel_check_size(size));
  }

  // Decode the bytes of a file. PhotoError: the core refuses it.
  open(bytes) {
    const { module } = this;
    this.checkSize(bytes.length);
    const address = this.allocate(bytes.length);
    try {
      module.HEAPU8.set(bytes, address);
      return new Photo(this, this.answer(module._prepixel_open(address, bytes.length)));
    } finally {
      module._free(address);
    }
  }

  // An address of `size` bytes; the caller frees it.
  allocate(size) {
    const address = this.module._malloc(Math.max(size, 1));
    if (address === 0) {
      throw new PhotoError({ kind: "limit", what: "the photo takes more memory than a page has", hint: "Take a smaller photo" });
    }
    return address;
  }

  answer(address) {
    const parsed = JSON.parse(this.module.UTF8ToString(address));
    if (parsed.error) throw new PhotoError(parsed.error);
    return parsed;
  }
}

// A decoded photo. Its planes are in the core's memory until `close`.
class Photo {
  constructor(core, described) {
    this.core = core;
    this.address = described.photo;
    for (const key of ["height", "width", "orientation", "scans", "color", "process", "linear", "warnings", "components"]) {
      this[key] = described[key];
    }
  }

  // A component's quantized coefficients, 64 a block in natural order, row by row; a copy.
  quantized(index) {
    const { blocks, blocksDown, blocksAcross } = this.components[index];
    return new Int16Array(this.core.module.HEAPU8.buffer, blocks, 64 * blocksDown * blocksAcross).slice();
  }

  // Resample a crop to channels on a grid: Int8Array or Float32Array of channel x down x across.
  // `coefficient = shift + unit * value`, channel by channel.
  resample({ grid, box, channels, shift, unit, dtype = "float32", filter = "bilinear" }) {
    const { module } = this.core;
    const count = channels.length;
    const Values = dtype === "int8" ? Int8Array : Float32Array;
    const size = count * grid[0] * grid[1];
    // One block of memory: channels, factors, offsets, values.
    const address = this.core.allocate(12 * count + size * Values.BYTES_PER_ELEMENT);
    try {
      const [factors, offsets, out] = [1, 2, 3].map((part) => address + 4 * count * part);
      new Int32Array(module.HEAPU8.buffer, address, count).set(channels);
      // As the library computes them: of float32 numbers, in float64, rounded to float32.
      const steps = Float32Array.from(unit);
      const starts = Float32Array.from(shift);
      new Float32Array(module.HEAPU8.buffer, factors, count).set(steps.map((step) => 1 / step));
      new Float32Array(module.HEAPU8.buffer, offsets, count).set(steps.map((step, i) => -starts[i] / step));
      this.core.answer(
        module._prepixel_resample(
          this.address, grid[0], grid[1], Number(filter === "bicubic"), Number(dtype === "int8"),
          box.top, box.left, box.height, box.width, count, address, factors, offsets, out,
        ),
      );
      return new Values(module.HEAPU8.buffer, out, size).slice();
    } finally {
      module._free(address);
    }
  }

  close() {
    this.core.module._prepixel_close(this.address);
  }
}
