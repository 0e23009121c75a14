// Pillow's resize (libImaging/Resample.c, in fixed point), since a browser's own differs from what the network was
// trained and verified on. Rows before columns; some versions of Pillow take the other order at some sizes, which moves
// a pixel by one grey level at most.

const BITS = 22;

const FILTERS = {
  bilinear: {support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x))},
  bicubic: {support: 2, weight: cubic},
};

function cubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// Python's round: ties go to the even number.
export function round(value) {
  const below = Math.floor(value), rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

// For each of `count` outputs from `first` on: where its inputs begin, and their weights.
function taps(from, to, first, count, {support, weight}) {
  const scale = from / to, stretch = Math.max(scale, 1), reach = support * stretch;
  return Array.from({length: count}, (_, index) => {
    const center = (first + index + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(from, Math.trunc(center + reach + 0.5));
    const weights = Array.from({length: end - start}, (_, i) => weight((i + start - center + 0.5) * (1 / stretch)));
    const total = weights.reduce((sum, value) => sum + value, 0);
    return {start, weights: Int32Array.from(weights, (value) => fixed(total === 0 ? value : value / total))};
  });
}

function fixed(value) {
  return Math.trunc(value * (1 << BITS) + (value < 0 ? -0.5 : 0.5));
}

function clipped(sum) {
  return Math.min(255, Math.max(0, sum >> BITS));
}

// Along the rows: width becomes columns.length, of the rows [top, bottom) alone.
function alongRows({data, width, depth}, columns, top, bottom) {
  const result = new Uint8ClampedArray((bottom - top) * columns.length * depth);
  let at = 0;
  for (let y = top; y < bottom; y++) {
    for (const {start, weights} of columns) {
      for (let c = 0; c < depth; c++) {
        let sum = 1 << (BITS - 1), source = (y * width + start) * depth + c;
        for (let i = 0; i < weights.length; i++, source += depth) sum += data[source] * weights[i];
        result[at++] = clipped(sum);
      }
    }
  }
  return {data: result, width: columns.length, height: bottom - top, depth};
}

function alongColumns({data, width, depth}, rows, top) {
  const result = new Uint8ClampedArray(rows.length * width * depth), stride = width * depth;
  rows.forEach(({start, weights}, y) => {
    for (let x = 0; x < stride; x++) {
      let sum = 1 << (BITS - 1), source = (start - top) * stride + x;
      for (let i = 0; i < weights.length; i++, source += stride) sum += data[source] * weights[i];
      result[y * stride + x] = clipped(sum);
    }
  });
  return {data: result, width, height: rows.length, depth};
}

function nearest({data, width, height, depth}, size, box) {
  const result = new Uint8ClampedArray(box.width * box.height * depth);
  const across = steps(width, size.width), down = steps(height, size.height);
  let at = 0;
  for (let y = 0; y < box.height; y++) {
    for (let x = 0; x < box.width; x++) {
      const source = (down[box.top + y] * width + across[box.left + x]) * depth;
      for (let c = 0; c < depth; c++) result[at++] = data[source + c];
    }
  }
  return {data: result, width: box.width, height: box.height, depth};
}

function steps(from, to) {
  const scale = from / to;
  let position = scale * 0.5;  // summed up as Pillow does, not multiplied
  return Array.from({length: to}, () => {
    const index = Math.floor(position);
    position += scale;
    return Math.min(from - 1, index);
  });
}

// The picture {data, width, height, depth} resized to `size` {width, height}, of which `box` {left, top, width, height}
// is kept.
export function resize(picture, size, box, interpolation) {
  if (interpolation === "nearest") return nearest(picture, size, box);
  const filter = FILTERS[interpolation];
  const columns = taps(picture.width, size.width, box.left, box.width, filter);
  const rows = taps(picture.height, size.height, box.top, box.height, filter);
  const top = rows[0].start, last = rows[rows.length - 1];
  return alongColumns(alongRows(picture, columns, top, last.start + last.weights.length), rows, top);
}

// The network's crop, as Preprocessing.fit has it: the shorter side resized to size / crop, the longer one rounded down,
// the centre kept; a picture of that size stays as it is.
export function fit(picture, {width, height}, {crop, interpolation}) {
  if (picture.width === width && picture.height === height) return picture;
  const enlarge = Math.max(round(height / crop) / picture.height, round(width / crop) / picture.width);
  const side = (length) => Math.floor(length * enlarge + 1e-6);
  const size = {width: side(picture.width), height: side(picture.height)};
  const box = {left: round((size.width - width) / 2), top: round((size.height - height) / 2), width, height};
  return resize(picture, size, box, interpolation);
}
