// What the page draws: channels as heat maps, images, answers, tables.

const GAP = 2;
const LARGEST = 1024; // of an orthonormal coefficient of 8-bit samples

// Dark to bright, even in brightness; points of matplotlib's viridis.
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function colorOf(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[low].map((value, i) => value + (at - low) * (RAMP[low + 1][i] - value));
}

const COLORS = Array.from({ length: 256 }, (_, i) => colorOf(i / 255));

// Draw one component's 64 frequencies, each a map of the grid; those not in `kept` are dimmed and struck out.
export function drawChannels(canvas, coefficients, component, grid, kept) {
  const [down, across] = grid;
  canvas.width = 8 * across + 9 * GAP;
  canvas.height = 8 * down + 9 * GAP;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  const size = down * across;
  for (let k = 0; k < 64; ++k) {
    const channel = 64 * component + k;
    const dim = kept.has(channel) ? 1 : 0.4;
    const [top, left] = cornerOf(k, grid);
    for (let at = 0; at < size; ++at) {
      const share = Math.log1p(Math.abs(coefficients[channel * size + at])) / Math.log1p(LARGEST);
      const color = COLORS[Math.min(255, Math.round(255 * share))];
      const to = 4 * ((top + Math.floor(at / across)) * canvas.width + left + (at % across));
      for (let i = 0; i < 3; ++i) pixels.data[to + i] = dim * color[i];
      pixels.data[to + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
  context.strokeStyle = "rgba(255, 255, 255, .35)";
  for (let k = 0; k < 64; ++k) {
    if (kept.has(64 * component + k)) continue;
    const [top, left] = cornerOf(k, grid);
    context.beginPath();
    context.moveTo(left + across, top);
    context.lineTo(left, top + down);
    context.stroke();
  }
}

function cornerOf(k, [down, across]) {
  return [GAP + (k >> 3) * (down + GAP), GAP + (k & 7) * (across + GAP)];
}

export function drawImage(canvas, { rgba, width, height }) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;

export function listAnswer(list, top) {
  list.replaceChildren(
    ...top.map(({ name, probability }) => {
      const item = document.createElement("li");
      item.style.setProperty("--share", `${100 * probability}%`);
      item.append(textElement("span", name), textElement("span", percent(probability), "share"));
      return item;
    }),
  );
}

export function textElement(tag, text, name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

// Mean sizes of the coefficients, component by component.
export function writeTables(place, coefficients, grid, kept) {
  const size = grid[0] * grid[1];
  const names = ["Y", "Cb", "Cr"];
  place.replaceChildren(
    ...names.map((name, component) => {
      const table = document.createElement("table");
      table.append(textElement("caption", name));
      const head = table.createTHead().insertRow();
      head.append(...["v, u", 0, 1, 2, 3, 4, 5, 6, 7].map((text) => heading("col", text)));
      const body = table.createTBody();
      for (let v = 0; v < 8; ++v) {
        const row = body.insertRow();
        row.append(heading("row", v));
        for (let u = 0; u < 8; ++u) {
          const channel = 64 * component + 8 * v + u;
          let sum = 0;
          for (let at = 0; at < size; ++at) sum += Math.abs(coefficients[channel * size + at]);
          const mean = (sum / size).toFixed(1);
          row.append(textElement("td", kept.has(channel) ? mean : `(${mean})`));
        }
      }
      return table;
    }),
  );
}

function heading(scope, text) {
  const cell = textElement("th", text);
  cell.scope = scope;
  return cell;
}
