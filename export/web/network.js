// The artifact in LiteRT.js: pictures in, scores out, all numbers from its card.

import * as LiteRT from "./litert/index.js";
import {fit, round} from "./resize.js";

const ARRAYS = {float32: Float32Array, int8: Int8Array, uint8: Uint8Array};
const LIMITS = {int8: [-128, 127], uint8: [0, 255]};
const LARGEST = 16e6;  // pixels of a canvas that every phone has

export async function loadNetwork() {
  const card = await (await fetch("./model.tflite.json")).json();
  const threads = window.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  await LiteRT.loadLiteRt("./litert/", {threads: threads > 1});
  const options = threads > 1 ? {cpuOptions: {numThreads: threads}} : {};
  const model = await LiteRT.loadAndCompile("./model.tflite", {accelerator: "wasm", ...options});
  return new Network(model, card, threads);
}

class Network {
  constructor(model, card, threads) {
    Object.assign(this, {model, card, threads});
    const [, height, width, channels] = card.inputs[0].shape;
    this.size = {height, width};
    this.channels = channels;
  }

  // What the network sees of a bitmap or a video's frame: RGB or grey bytes of its input's size.
  see(source, width, height) {
    const pixels = pixelsOf(source, width, height);
    return fit(this.channels === 1 ? grey(pixels) : opaque(pixels), this.size, this.card.preprocessing);
  }

  // {scores, milliseconds}: real-valued scores by class, and how long the network took.
  async classify(seen) {
    const input = this.card.inputs[0];
    const tensor = new LiteRT.Tensor(this.prepared(seen), input.shape);
    try {
      const start = performance.now();
      const outputs = await this.model.run([tensor]);
      const values = await outputs[0].data();
      const milliseconds = performance.now() - start;
      const scores = dequantized(values, this.card.outputs[0]);
      outputs.forEach((output) => output.delete());
      return {scores, milliseconds};
    } finally {
      tensor.delete();
    }
  }

  // (x * scale - mean) / std in float32, as Python computes it, then in the input's type.
  prepared({data, depth}) {
    const input = this.card.inputs[0], {scale, channels} = this.card.preprocessing;
    const [mean, std] = [this.perChannel("mean"), this.perChannel("std")];
    const value = (pixel, c) => Math.fround(Math.fround(Math.fround(pixel * Math.fround(scale)) - mean[c]) / std[c]);
    const result = new ARRAYS[input.dtype](data.length);
    const last = channels === "bgr" ? depth - 1 : 0;
    const table = mean.map((_, c) => Array.from({length: 256}, (_, pixel) => quantized(value(pixel, c), input)));
    for (let i = 0; i < data.length; i += depth) {
      for (let c = 0; c < depth; c++) result[i + c] = table[c][data[i + (last ? last - c : c)]];
    }
    return result;
  }

  perChannel(name) {
    const values = this.card.preprocessing[name];
    if (values.length === this.channels) return values.map(Math.fround);
    const average = Math.fround(values.reduce((sum, value) => sum + value, 0) / values.length);
    return Array(this.channels).fill(average);
  }
}

function quantized(value, {dtype, scale, zero_point: zero}) {
  if (dtype === "float32") return value;
  const [least, most] = LIMITS[dtype];
  return Math.min(most, Math.max(least, round(Math.fround(value / Math.fround(scale))) + zero));
}

function dequantized(values, {dtype, scale, zero_point: zero}) {
  if (dtype === "float32") return Float32Array.from(values);
  return Float32Array.from(values, (value) => (value - zero) * scale);
}

function pixelsOf(source, width, height) {
  const shrink = Math.min(1, Math.sqrt(LARGEST / (width * height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(width * shrink));
  canvas.height = Math.max(1, Math.floor(height * shrink));
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.fillStyle = "#fff";  // behind what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function opaque({data, width, height}) {
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return {data: rgb, width, height, depth: 3};
}

// Pillow's luma.
function grey({data, width, height}) {
  const luma = new Uint8ClampedArray(width * height);
  for (let from = 0, to = 0; from < data.length; from += 4, to++) {
    luma[to] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
  }
  return {data: luma, width, height, depth: 1};
}

// Shares of 1: the scores themselves where they are such, else their softmax.
export function shares(scores) {
  const sum = scores.reduce((total, score) => total + score, 0);
  if (Math.abs(sum - 1) < 0.02 && scores.every((score) => score >= 0)) return scores;
  const highest = scores.reduce((best, score) => Math.max(best, score), -Infinity);
  const powers = scores.map((score) => Math.exp(score - highest));
  const total = powers.reduce((before, power) => before + power, 0);
  return powers.map((power) => power / total);
}

// The indices of the best, best first; of equals the first.
export function best(scores, count = 5) {
  return Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b).slice(0, count);
}
