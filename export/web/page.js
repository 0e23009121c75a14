// What the visitor does, and what they see. Every text from a file or a card enters as text, never as markup.

import {best, loadNetwork, shares} from "./network.js";

const at = (id) => document.getElementById(id);
const times = [];
let network, stream;

function element(name, {text, ...attributes} = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const say = (text) => { at("status").textContent = text; };
const percent = (share) => (share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`);
const ms = (value) => `${value.toFixed(value < 10 ? 2 : 1)} ms`;
const labelOf = (index) => network.card.labels?.[index] ?? `class ${index}`;

function scoresList(scores) {
  const share = shares(scores);
  return best(scores).map((index) => {
    const fill = element("div", {class: "fill"});
    fill.style.width = `${100 * share[index]}%`;
    return element("li", {"data-class": index, "data-score": scores[index]},
      element("span", {class: "name", text: labelOf(index)}),
      element("span", {class: "percent", text: percent(share[index])}),
      element("div", {class: "track", "aria-hidden": "true"}, fill));
  });
}

function canvasOf({data, width, height, depth}, description) {
  const canvas = element("canvas", {width, height, role: "img", "aria-label": description});
  const image = new ImageData(width, height);
  for (let from = 0, to = 0; to < image.data.length; from += depth, to += 4) {
    for (let c = 0; c < 3; c++) image.data[to + c] = data[from + (depth === 3 ? c : 0)];
    image.data[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  if (width < 128) canvas.classList.add("small");
  return canvas;
}

async function answer(source, width, height, name) {
  const seen = network.see(source, width, height);
  const {scores, milliseconds} = await network.classify(seen);
  show(seen, scores, milliseconds, name);
}

function show(seen, scores, milliseconds, name) {
  times.push(milliseconds);
  const first = labelOf(best(scores, 1)[0]);
  at("pictures").prepend(element("li", {class: "picture"},
    canvasOf(seen, `${name}, as the network sees it`),
    element("div", {},
      element("h3", {text: name}),
      element("ol", {class: "scores", "aria-label": "Five best answers"}, ...scoresList(scores)),
      element("p", {class: "time", "data-ms": milliseconds, text: `${ms(milliseconds)} in the network`}))));
  say(`${name}: ${first}, ${percent(Math.max(...shares(scores)))}`);
  summarise();
}

function summarise() {
  const sorted = [...times].sort((a, b) => a - b), middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  at("summary").textContent = times.length === 1 ? `1 picture, ${ms(median)}` : `${times.length} pictures, ${ms(median)} by median`;
  at("summary").hidden = false;
}

async function take(files) {
  for (const file of files) {
    say(`${file.name} …`);
    let bitmap;
    try {
      bitmap = await createImageBitmap(file, {colorSpaceConversion: "none"});
    } catch {
      refuse(file.name, "this browser reads no picture in it");
      continue;
    }
    try {
      await answer(bitmap, bitmap.width, bitmap.height, file.name);
    } catch (error) {
      refuse(file.name, String(error?.message ?? error));
    } finally {
      bitmap.close();
    }
  }
}

function refuse(name, why) {
  say(`${name}: ${why}`);
  at("pictures").prepend(element("li", {class: "picture refused", text: `${name}: ${why}`}));
}

async function startCamera() {
  if (!navigator.mediaDevices) return at("snapshot").click();  // not a secure page: the phone's own camera still works
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}, audio: false});
  } catch (error) {
    return say(`No camera: ${error.message}`);
  }
  at("video").srcObject = stream;
  await at("video").play();
  at("live").hidden = false;
  at("keep").focus();
  say("The camera is on.");
  return watch();
}

async function watch() {
  const video = at("video");
  while (stream) {
    const {scores, milliseconds} = await network.classify(network.see(video, video.videoWidth, video.videoHeight));
    at("seen").replaceChildren(...scoresList(scores));
    at("rate").textContent = `${ms(milliseconds)} in the network`;
    await new Promise(requestAnimationFrame);
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = undefined;
  at("live").hidden = true;
  at("camera").focus();
  say("The camera is off.");
}

function describe() {
  const {model, artifact, quantization, preprocessing, verification, versions, inputs} = network.card;
  const million = (model.macs / 1e6).toFixed(0), size = (artifact.bytes / 1e6).toFixed(1);
  at("facts").textContent = `${model.name}, ${quantization.scheme}: ${size} MB, ${million} million multiply-accumulates.`;
  const threads = network.threads > 1 ? `${network.threads} threads` : "1 thread (served without COOP and COEP headers)";
  const facts = {
    network: model.name, weights: model.weights, scheme: quantization.scheme,
    reads: `${inputs[0].dtype} ${inputs[0].shape.join(" × ")}`,
    preprocessing: `(x × ${+preprocessing.scale.toPrecision(6)} − ${list(preprocessing.mean)}) / ${list(preprocessing.std)}, ` +
      `${preprocessing.channels}, ${preprocessing.interpolation}, centre crop ${preprocessing.crop}`,
    accuracy: verification?.top1_file == null ? "not verified"
      : `top-1 ${percent(verification.top1_file)} over ${verification.images} images of ${verification.source}`,
    "runs by": `LiteRT.js, WebAssembly, ${threads}`,
    made: Object.entries(versions).map((pair) => pair.join(" ")).join(", "),
    sha256: artifact.sha256,
  };
  at("about").replaceChildren(...Object.entries(facts).flatMap(([key, value]) =>
    [element("dt", {text: key}), element("dd", {text: value})]));
}

const list = (values) => (values.every((value) => value === values[0]) ? values[0] : `[${values.join(", ")}]`);

function listen() {
  const drop = at("drop"), pictures = (transfer) => [...(transfer?.files ?? [])];
  at("choose").onclick = () => at("files").click();
  at("camera").onclick = () => (stream ? stopCamera() : startCamera());
  at("stop").onclick = stopCamera;
  at("keep").onclick = () => answer(at("video"), at("video").videoWidth, at("video").videoHeight, "camera");
  for (const id of ["files", "snapshot"]) {
    at(id).onchange = async (event) => { await take([...event.target.files]); event.target.value = ""; };
  }
  document.addEventListener("paste", (event) => take(pictures(event.clipboardData)));
  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(pictures(event.dataTransfer));
  });
  at("choose").disabled = at("camera").disabled = false;
}

try {
  network = await loadNetwork();
  describe();
  listen();
  say("Ready.");
  document.body.dataset.state = "ready";
} catch (error) {
  say(`The network could not be loaded: ${error?.message ?? error}`);
  document.body.dataset.state = "failed";
}
