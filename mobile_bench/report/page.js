"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const rows = page.rows;
const $ = (id) => document.getElementById(id);
const color = (index) => `var(--c${index % 8})`;
const shortName = (file) => file.replace(/\.\w+$/, "");
const digits = (value) => value === null || value === undefined ? "" : value >= 100 ? value.toFixed(0) : value.toPrecision(3);

function element(name, attributes = {}, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function draw(parent, name, attributes = {}, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function canvas(place, height, label) {
  const width = Math.max(300, place.clientWidth);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", label);
  place.replaceChildren(svg);
  return { svg, width };
}

// A tip that pointer and keyboard bring up.
const tip = $("tip");
function explain(mark, text) {
  mark.setAttribute("tabindex", "0");
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", text.replaceAll("\n", ", "));
  mark.explanation = text;
  for (const event of ["pointerenter", "focus"]) mark.addEventListener(event, () => showTip(mark));
  for (const event of ["pointerleave", "blur"]) mark.addEventListener(event, () => { tip.hidden = true; });
}
function showTip(mark) {
  const box = mark.getBoundingClientRect();
  tip.textContent = mark.explanation;
  tip.hidden = false;
  const left = Math.min(box.left + box.width / 2 + 10, innerWidth - tip.offsetWidth - 8);
  const above = box.top - tip.offsetHeight - 8;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
}
addEventListener("scroll", () => {
  // The mark under the pointer keeps its tip: a scroll that began before the pointer came may end after it.
  const mark = [document.activeElement, ...document.querySelectorAll(":hover")].findLast((e) => e && e.explanation);
  if (mark) showTip(mark);
  else tip.hidden = true;
}, { passive: true });

// Table.
const COLUMNS = [
  ["file", "file", true], ["threads", "threads"], ["median", "median"], ["p10", "p10"], ["p90", "p90"], ["p99", "p99"], ["ratio", "ratio"], ["verdict", "verdict", true],
  ["runner", "runner", true], ["target", "target", true],
  ["top1", "top-1 %"], ["top5", "top-5 %"], ["mb", "size MB"], ["mmacs", "MMACs"], ["peak", "peak MB"],
  ["arena", "arena MB"], ["load", "load"], ["first", "first"], ["mj", "mJ/call"],
].filter(([key]) => rows.some((row) => row[key] !== null)
  && (!["target", "runner"].includes(key) || new Set(rows.map((row) => row[key])).size > 1));
let sorted = { key: null, ascending: true };

function cell(row, key, isText) {
  const value = row[key];
  const made = element("td", isText ? { class: "text" } : {});
  if (key === "file") {
    const name = element("div", { class: "file" });
    name.append(element("span", { class: "dot", style: `background:${color(row.color)}` }), element("span", {}, shortName(value)));
    made.append(name);
    if (row.failure) made.append(element("small", {}, row.failure));
  } else if (isText || key === "threads") {
    made.append(element("span", { class: key === "verdict" ? String(value).split(" ")[0] : "" }, value));
  } else {
    made.append(key === "ratio" && row.verdict === "reference" ? "1" : digits(value));
  }
  const interval = key === "median" ? row.interval : key === "ratio" ? row.ratioInterval : null;
  if (interval && interval[0] !== null) made.append(element("small", {}, `${digits(interval[0])}–${digits(interval[1])}`));
  return made;
}

function fill() {
  const order = [...rows];
  if (sorted.key !== null) {
    const sign = sorted.ascending ? 1 : -1;
    const empty = (value) => value === null || value === undefined;
    order.sort((a, b) => {
      const [x, y] = [a[sorted.key], b[sorted.key]];
      if (empty(x) || empty(y)) return empty(x) - empty(y);
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
  }
  $("table").tBodies[0].replaceChildren(...order.map((row) => {
    const line = element("tr");
    line.append(...COLUMNS.map(([key, , isText]) => cell(row, key, isText)));
    return line;
  }));
  for (const heading of $("table").tHead.querySelectorAll("th")) {
    if (heading.dataset.key === sorted.key) heading.setAttribute("aria-sort", sorted.ascending ? "ascending" : "descending");
    else heading.removeAttribute("aria-sort");
  }
}

for (const [key, title, isText] of COLUMNS) {
  const heading = element("th", { scope: "col", "data-key": key, ...(isText ? { class: "text" } : {}) });
  const button = element("button", { type: "button" }, title);
  button.addEventListener("click", () => {
    sorted = { key, ascending: sorted.key === key ? !sorted.ascending : true };
    fill();
  });
  heading.append(button);
  $("table").tHead.rows[0].append(heading);
}
fill();

// Axes.
function ticks(low, high, logarithmic, most = 8) {
  const found = [];
  if (logarithmic) {
    for (const steps of [[1, 2, 5], [1, 3], [1]]) {
      found.length = 0;
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
        for (const step of steps) if (step * 10 ** power >= low && step * 10 ** power <= high) found.push(step * 10 ** power);
      if (found.length <= most) break;
    }
    if (found.length > 1) return found;
    found.length = 0; // within a decade, equal steps
  }
  const raw = (high - low) / 5 || 1, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * unit >= raw) * unit;
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) found.push(tick);
  return found;
}
const scale = (low, high, from, to, logarithmic) => (value) => {
  const f = logarithmic ? Math.log : (x) => x;
  return from + (f(value) - f(low)) / (f(high) - f(low) || 1) * (to - from);
};
const short = (value) => String(Number(value.toPrecision(3)));

// Scatter.
const AXES = [["top1", "top-1 %", 1], ["top5", "top-5 %", 1], ["mb", "size in MB", -1], ["mmacs", "million MACs", -1], ["peak", "peak memory in MB", -1], ["mj", "millijoules a call", -1]]
  .filter(([key]) => rows.some((row) => row[key] !== null));
for (const [key, title] of AXES) $("axis").append(element("option", { value: key }, title));

function scatter() {
  const [key, title, better] = AXES.find(([name]) => name === $("axis").value) || AXES[0];
  const points = rows.filter((row) => row[key] !== null);
  const { svg, width } = canvas($("scatter"), 360, `${title} against latency`);
  const [left, right, top, bottom] = [52, width - 16, 14, 312];
  const logarithmic = better < 0 && Math.min(...points.map((p) => p[key])) > 0;
  const xs = points.map((p) => p.median), ys = points.map((p) => p[key]);
  const [x0, x1] = [Math.min(...xs) / 1.25, Math.max(...xs) * 1.25];
  const margin = (Math.max(...ys) - Math.min(...ys)) * 0.12 || Math.abs(ys[0]) * 0.05 || 1;
  const [y0, y1] = logarithmic ? [Math.min(...ys) / 1.25, Math.max(...ys) * 1.25] : [Math.min(...ys) - margin, Math.max(...ys) + margin];
  const x = scale(x0, x1, left, right, true), y = scale(y0, y1, bottom, top, logarithmic);
  for (const tick of ticks(x0, x1, true, width / 60)) {
    draw(svg, "line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: bottom });
    draw(svg, "text", { x: x(tick), y: bottom + 18, "text-anchor": "middle" }, short(tick));
  }
  for (const tick of ticks(y0, y1, logarithmic)) {
    draw(svg, "line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, short(tick));
  }
  draw(svg, "text", { x: (left + right) / 2, y: bottom + 40, "text-anchor": "middle" }, "median latency in ms");
  const front = points.filter((p) => !points.some((q) => q !== p && q.median <= p.median && better * q[key] >= better * p[key]
    && (q.median < p.median || better * q[key] > better * p[key]))).sort((a, b) => a.median - b.median);
  let path = "";
  front.forEach((p, i) => { path += i ? `H${x(p.median)}V${y(p[key])}` : `M${x(p.median)},${y(p[key])}`; });
  draw(svg, "path", { class: "front", d: path });
  const taken = points.map((p) => ({ x: x(p.median) - 8, y: y(p[key]) + 4, size: 16 }));
  const named = new Set();
  for (const point of [...points].sort((a, b) => a.median - b.median)) {
    const [cx, cy] = [x(point.median), y(point[key])];
    const mark = draw(svg, "circle", { class: "mark", cx, cy, r: 7, fill: color(point.color) });
    explain(mark, `${point.label}\n${digits(point.median)} ms, ${digits(point[key])} ${title}`);
    const name = shortName(point.file);
    const size = name.length * 7 + 4;
    const end = cx + 12 + size > right;
    const spot = { x: end ? cx - 12 - size : cx + 12, y: cy + 4 };
    const clash = taken.some((t) => Math.abs(t.y - spot.y) < 13 && spot.x < t.x + t.size && t.x < spot.x + size);
    if (!clash && spot.x > left && !named.has(name)) {
      named.add(name);
      taken.push({ ...spot, size });
      draw(svg, "text", { class: "name", x: end ? cx - 12 : cx + 12, y: spot.y, "text-anchor": end ? "end" : "start" }, name);
    }
  }
}

// Distributions.
function distributions() {
  const step = 46, shown = rows;
  const { svg, width } = canvas($("distributions"), shown.length * step + 34, "latency distributions");
  const [left, right] = [4, width - 8], bottom = shown.length * step + 4;
  const x = scale(page.edges[0], page.edges.at(-1), left, right, true);
  for (const tick of ticks(page.edges[0], page.edges.at(-1), true, width / 80)) {
    draw(svg, "line", { class: "grid", x1: x(tick), x2: x(tick), y1: 0, y2: bottom });
    draw(svg, "text", { x: x(tick), y: bottom + 20, "text-anchor": "middle" }, `${short(tick)} ms`);
  }
  shown.forEach((row, i) => {
    const base = i * step + 38, most = Math.max(...row.histogram, 1);
    let d = `M${x(page.edges[0])},${base}`;
    row.histogram.forEach((count, bin) => {
      const y = base - 20 * count / most;
      d += `L${x(page.edges[bin])},${y}L${x(page.edges[bin + 1])},${y}`;
    });
    const shape = draw(svg, "path", { d: `${d}L${right},${base}Z`, fill: color(row.color), opacity: 0.45 });
    shape.setAttribute("pointer-events", "none");
    const clamp = (value) => Math.min(right, Math.max(left, x(value)));
    draw(svg, "line", { x1: clamp(row.p10), x2: clamp(row.p90), y1: base, y2: base, stroke: color(row.color), "stroke-width": 4, "stroke-linecap": "round" });
    const mark = draw(svg, "circle", { class: "mark", cx: clamp(row.median), cy: base, r: 6, fill: color(row.color) });
    explain(mark, `${row.label}\nmedian ${digits(row.median)} ms, p10 ${digits(row.p10)}, p90 ${digits(row.p90)}, p99 ${digits(row.p99)}\n${row.calls} calls`);
    const far = x(row.median) < (left + right) / 2;
    draw(svg, "text", { class: "name", x: far ? right : left, y: base - 24, "text-anchor": far ? "end" : "start" }, row.label);
  });
}

// Threads.
function scaling() {
  const series = Object.values(Object.groupBy ? Object.groupBy(rows, (row) => row.series) : {})
    .map((group) => [...group].sort((a, b) => a.threads - b.threads)).filter((group) => group.length > 1);
  $("scaling-section").hidden = !series.length;
  if (!series.length) return;
  const most = Math.max(...series.flat().map((row) => row.threads)), least = Math.min(...series.flat().map((row) => row.threads));
  const gain = (group, row) => group[0].median / row.median;
  const best = Math.max(most / least, ...series.flatMap((group) => group.map((row) => gain(group, row)))) * 1.06;
  const { svg, width } = canvas($("scaling"), 280, "speed-up by threads");
  const [left, right, top, bottom] = [40, width - 16, 12, 236];
  const x = scale(least, most, left + 14, right - 60, false), y = scale(Math.min(0.8, ...series.flatMap((g) => g.map((r) => gain(g, r) * 0.95))), best, bottom, top, false);
  for (const tick of ticks(Math.min(0.8), best, false).filter((tick) => tick >= 0.5)) {
    draw(svg, "line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, `${short(tick)}×`);
  }
  for (const threads of new Set(series.flat().map((row) => row.threads)))
    draw(svg, "text", { x: x(threads), y: bottom + 20, "text-anchor": "middle" }, `${threads} thread${threads > 1 ? "s" : ""}`);
  draw(svg, "line", { class: "ideal", x1: x(least), y1: y(1), x2: x(most), y2: y(most / least) });
  for (const group of series) {
    const d = group.map((row, i) => `${i ? "L" : "M"}${x(row.threads)},${y(gain(group, row))}`).join("");
    draw(svg, "path", { d, fill: "none", stroke: color(group[0].color), "stroke-width": 2.5 });
    for (const row of group) {
      const mark = draw(svg, "circle", { class: "mark", cx: x(row.threads), cy: y(gain(group, row)), r: 6, fill: color(row.color) });
      explain(mark, `${row.label}\n${gain(group, row).toFixed(2)} times as fast as with ${group[0].threads}`);
    }
  }
}

// Operators.
const profiles = rows.filter((row) => row.layers.length);
$("operators-section").hidden = !profiles.length;
profiles.forEach((row, i) => $("profiled").append(element("option", { value: i }, row.label)));
function operators() {
  if (!profiles.length) return;
  const row = profiles[Number($("profiled").value)];
  const total = row.layers.reduce((sum, layer) => sum + layer.us, 0) || 1;
  const types = new Map();
  for (const layer of row.layers) types.set(layer.type, (types.get(layer.type) || 0) + layer.us);
  const ranked = [...types].sort((a, b) => b[1] - a[1]);
  const index = new Map(ranked.map(([type], i) => [type, i]));
  const { svg, width } = canvas($("flame"), 62, "time by operator");
  let x = 0;
  row.layers.forEach((layer, i) => {
    const size = layer.us / total * width;
    const box = draw(svg, "rect", { class: "mark", x, y: 2, width: Math.max(size, 0.6), height: 56, rx: size > 6 ? 3 : 0, fill: color(index.get(layer.type)), style: size > 4 ? "" : "stroke:none" });
    explain(box, `${layer.type}\n${layer.name}\n${layer.us.toFixed(0)} µs, ${(100 * layer.us / total).toFixed(1)} % of ${(total / 1000).toFixed(2)} ms`);
    if (i > 0) box.setAttribute("tabindex", "-1");
    x += size;
  });
  $("types").replaceChildren(...ranked.map(([type, us], i) => {
    const bar = element("div", { class: "bar" }), track = element("div", { class: "track" });
    track.append(element("div", { class: "fill", style: `width:${100 * us / ranked[0][1]}%;background:${color(i)}` }));
    bar.append(element("span", {}, type), track, element("span", {}, `${digits(us / 1000)} ms, ${(100 * us / total).toFixed(0)} %`));
    return bar;
  }));
}
$("flame").addEventListener("keydown", (event) => {
  const boxes = [...$("flame").querySelectorAll("rect")];
  const at = boxes.indexOf(document.activeElement);
  const next = boxes[at + (event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : NaN)];
  if (next) next.focus();
});

for (const section of document.querySelectorAll("section.measured")) section.hidden ||= !rows.length;
function drawAll() {
  if (!rows.length) return;
  scatter(); distributions(); scaling(); operators();
}
$("axis").addEventListener("change", scatter);
$("profiled").addEventListener("change", operators);
let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(drawAll); });
drawAll();
