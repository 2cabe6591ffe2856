// Read photos with the compiled core in Node: node read_photos.mjs CORE_FOLDER REQUEST.json OUT_FOLDER PHOTO...
// For each photo OUT_FOLDER gets N.json and N.bin: int16 planes, then int8 values, then float32 values.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [coreFolder, requestFile, out, ...photos] = process.argv.slice(2);
const at = (name) => pathToFileURL(join(coreFolder, name)).href;
const { loadCore } = await import(at("core.js"));
const { centerBox } = await import(at("geometry.js"));
const core = await loadCore({ wasmBinary: readFileSync(join(coreFolder, "prepixel_photo.wasm")) });
const request = JSON.parse(readFileSync(requestFile, "utf8"));

photos.forEach((name, index) => {
  const answer = {};
  const parts = [];
  const bytes = readFileSync(name);
  const start = performance.now();
  try {
    const photo = core.open(bytes);
    try {
      Object.assign(answer, photo, { core: undefined });
      photo.components.forEach((_, i) => parts.push(photo.quantized(i)));
      const box = centerBox(photo.height, photo.width, request.crop_fraction);
      parts.push(photo.resample({ ...request, box, dtype: "int8" }));
      answer.milliseconds = performance.now() - start;
      parts.push(photo.resample({ ...request, box, dtype: "float32", filter: "bicubic" }));
    } finally {
      photo.close();
    }
  } catch (error) {
    if (error.name !== "PhotoError") throw error;
    answer.error = { kind: error.kind, message: error.message };
  }
  writeFileSync(join(out, `${index}.json`), JSON.stringify(answer));
  writeFileSync(join(out, `${index}.bin`), Buffer.concat(parts.map((part) => Buffer.from(part.buffer))));
});
