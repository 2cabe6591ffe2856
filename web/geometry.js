// The crop that a network sees, and the image that its coefficients hold.

// Round half to even, as Python does.
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

// The centered box of "resize the short side, then crop": center_box of src/prepixel/transforms/crop_draws.py.
export function centerBox(height, width, fraction, aspect = 1) {
  const full = Math.min(height, width / aspect);
  const h = Math.min(height, Math.max(1, roundHalfEven(full * fraction)));
  const w = Math.min(width, Math.max(1, roundHalfEven(full * aspect * fraction)));
  return { top: Math.floor((height - h) / 2), left: Math.floor((width - w) / 2), height: h, width: w };
}

// The orthonormal 8-point DCT-II: basis[8 * frequency + sample].
const basis = new Float32Array(64);
for (let u = 0; u < 8; ++u) {
  for (let x = 0; x < 8; ++x) {
    basis[8 * u + x] = Math.sqrt((u === 0 ? 1 : 2) / 8) * Math.cos(((2 * x + 1) * u * Math.PI) / 16);
  }
}

// Transform 64 coefficients (v, u) to 64 samples (y, x), level shift left out.
export function inverseDct(coefficients, samples, scratch) {
  for (let v = 0; v < 8; ++v) {
    for (let x = 0; x < 8; ++x) {
      let sum = 0;
      for (let u = 0; u < 8; ++u) sum += coefficients[8 * v + u] * basis[8 * u + x];
      scratch[8 * v + x] = sum;
    }
  }
  for (let y = 0; y < 8; ++y) {
    for (let x = 0; x < 8; ++x) {
      let sum = 0;
      for (let v = 0; v < 8; ++v) sum += scratch[8 * v + x] * basis[8 * v + y];
      samples[8 * y + x] = sum;
    }
  }
}

// The RGBA pixels of orthonormal YCbCr coefficients: `values[i]` of channel `channels[i]` on a grid, others 0.
// ITU-T T.871 (JFIF), clause 7, turns YCbCr to RGB.
export function pixelsOf(values, channels, grid) {
  const [down, across] = grid;
  const width = 8 * across;
  const rgba = new Uint8ClampedArray(4 * 64 * down * across);
  const block = new Float32Array(64);
  const scratch = new Float32Array(64);
  const planes = [0, 1, 2].map(() => new Float32Array(64));
  const step = down * across;
  for (let at = 0; at < step; ++at) {
    for (let c = 0; c < 3; ++c) {
      block.fill(0);
      for (let i = 0; i < channels.length; ++i) {
        if (channels[i] >> 6 === c) block[channels[i] & 63] = values[i * step + at];
      }
      inverseDct(block, planes[c], scratch);
    }
    const corner = 8 * Math.floor(at / across) * width + 8 * (at % across);
    for (let i = 0; i < 64; ++i) {
      const [y, cb, cr] = [planes[0][i] + 128, planes[1][i], planes[2][i]];
      const to = 4 * (corner + (i >> 3) * width + (i & 7));
      rgba[to] = y + 1.402 * cr;
      rgba[to + 1] = y - 0.344136 * cb - 0.714136 * cr;
      rgba[to + 2] = y + 1.772 * cb;
      rgba[to + 3] = 255;
    }
  }
  return { rgba, width, height: 8 * down };
}
