"use strict";
// The view of pictures with their maps, of the report and of the page that `fovea serve` shows: show(images).

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  node.append(...children.filter(child => child != null));
  return node;
}
function bytes(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)); }
function floats(text) { return new Float32Array(bytes(text).buffer); }
function shorts(text) { return new Int16Array(bytes(text).buffer); }

// Colour maps as anchors, interpolated in RGB.
const colours = {
  viridis: ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"],
  magma: ["000004", "180f3d", "440f76", "721f81", "9e2f7f", "cd4071", "f1605d", "fd9668", "feca8d", "fcfdbf"],
  cividis: ["00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a59c74", "c3b369", "e1cc55", "fee838"],
  jet: ["000080", "0000ff", "0080ff", "00ffff", "80ff80", "ffff00", "ff8000", "ff0000", "800000"],
};
function colourAt(name, share) {
  const anchors = colours[name], place = Math.min(Math.max(share, 0), 1) * (anchors.length - 1);
  const i = Math.min(Math.floor(place), anchors.length - 2), part = place - i;
  return [0, 2, 4].map(k => Math.round((1 - part) * parseInt(anchors[i].substr(k, 2), 16) + part * parseInt(anchors[i + 1].substr(k, 2), 16)));
}
function shown(value) { return Math.abs(value) >= 0.001 || value === 0 ? value.toPrecision(3) : value.toExponential(2); }

let count = 0;
function view(image) {
  const id = "image" + count++;
  const layers = image.layers.map(layer => ({...layer, start: bytes(layer.start), starts: floats(layer.starts),
    rows: bytes(layer.rows), tops: floats(layer.tops), tokens: shorts(layer.tokens)}));
  const heats = image.heats.map(heat => ({...heat, values: bytes(heat.values)})), methods = heats.length;
  heats.push(...image.words.map(word => ({...word, values: bytes(word.values), seen: image.wordsSeen})));  // behind the methods
  const state = {source: layers.length ? "attention" : 0, layer: layers.length - 1, head: -1, query: null, opacity: .65, colour: "viridis", smooth: true};

  const canvas = make("canvas", {width: image.width, height: image.height, tabindex: 0, role: "img", id: id + "-canvas",
    "aria-describedby": id + "-say"});
  const bar = make("canvas", {class: "bar", width: 256, height: 1, "aria-hidden": "true"});
  const low = make("span"), unit = make("span"), high = make("span");
  const say = make("p", {id: id + "-say", role: "status", class: "soft"});
  const picture = new Image();
  picture.alt = "";

  // The map that is asked for: {values in 0…255, low, high, h, w, unit, text}.
  function current() {
    if (state.source !== "attention") {
      const heat = heats[state.source];
      return {...heat, text: [heat.method, heat.layer, heat.detail].filter(Boolean).join(", ")};
    }
    const layer = layers[state.layer], cells = layer.h * layer.w, values = new Uint8Array(cells);
    const head = state.head < 0 ? `mean of ${layer.heads} heads` : `head ${state.head}`;
    const result = {h: layer.h, w: layer.w, low: 0, unit: "attention weight"};
    if (state.query === null) {
      const row = state.head + 1;
      values.set(layer.start.subarray(row * cells, (row + 1) * cells));
      return {...result, values, high: layer.starts[row], text: `attention, ${layer.path}, ${head}, ${layer.begins}`};
    }
    const y = Math.floor(state.query.y * layer.h), x = Math.floor(state.query.x * layer.w);
    const place = layer.tokens.indexOf(y * layer.w + x), size = layer.places, first = Math.floor(place / size) * size;
    for (let i = 0; i < size; ++i) {
      const token = layer.tokens[first + i];
      if (token >= 0) values[token] = layer.rows[place * size + i];
    }
    return {...result, values, high: layer.tops[place],
      text: `attention, ${layer.path}, mean of ${layer.heads} heads, view of the patch in row ${y + 1}, column ${x + 1} of ${layer.h}×${layer.w}`};
  }

  function draw() {
    const map = current(), context = canvas.getContext("2d");
    const small = make("canvas", {width: map.w, height: map.h}), pixels = new ImageData(map.w, map.h);
    for (let i = 0; i < map.values.length; ++i) {
      const share = map.values[i] / 255;
      pixels.data.set([...colourAt(state.colour, share), 255 * state.opacity * (1 + 2 * share) / 3], 4 * i);
    }
    small.getContext("2d").putImageData(pixels, 0, 0);
    context.clearRect(0, 0, image.width, image.height);
    context.imageSmoothingEnabled = image.enlarge ? false : true;
    context.drawImage(picture, 0, 0, image.width, image.height);
    context.fillStyle = "rgba(128,128,128,.6)";
    const seen = map.seen || image.seen;
    const [left, top, right, bottom] = [seen[0] * image.width, seen[1] * image.height, seen[2] * image.width, seen[3] * image.height];
    context.fillRect(0, 0, image.width, top); context.fillRect(0, bottom, image.width, image.height - bottom);
    context.fillRect(0, top, left, bottom - top); context.fillRect(right, top, image.width - right, bottom - top);
    context.imageSmoothingEnabled = state.smooth;
    context.drawImage(small, left, top, right - left, bottom - top);
    if (state.source === "attention" && state.query) {
      const layer = layers[state.layer], side = [(right - left) / layer.w, (bottom - top) / layer.h];
      context.lineWidth = Math.max(2, image.width / 250); context.strokeStyle = "#fff";
      context.strokeRect(left + Math.floor(state.query.x * layer.w) * side[0], top + Math.floor(state.query.y * layer.h) * side[1], ...side);
    }
    const line = bar.getContext("2d");
    for (let i = 0; i < 256; ++i) { line.fillStyle = `rgb(${colourAt(state.colour, i / 255)})`; line.fillRect(i, 0, 1, 1); }
    low.textContent = shown(map.low); high.textContent = shown(map.high); unit.textContent = map.unit;
    say.textContent = map.text;
    canvas.setAttribute("aria-label", `${image.name}: ${map.text}, from ${shown(map.low)} to ${shown(map.high)}`);
  }

  function field(label, control, name) {
    control.id = id + "-" + name;
    const node = make("label", {for: control.id}, label);
    return [node, control];
  }
  const method = make("select");
  if (layers.length) method.append(make("option", {value: "attention"}, "attention (layer, head, point)"));
  heats.slice(0, methods).forEach((heat, index) => method.append(make("option", {value: index}, `${heat.method}${heat.summary ? ": " + heat.summary : ""}`)));
  const layer = make("input", {type: "range", min: 0, max: Math.max(0, layers.length - 1), value: state.layer});
  const head = make("select");
  const opacity = make("input", {type: "range", min: 0, max: 1, step: .01, value: state.opacity});
  const colour = make("select", {}, ...Object.keys(colours).map(name => make("option", {}, name)));
  const cells = make("select", {}, make("option", {value: 1}, "smooth"), make("option", {value: ""}, "cells as they are"));
  const back = make("button", {type: "button"}, "whole picture again");

  function heads() {
    if (!layers.length) return;
    head.replaceChildren(make("option", {value: -1}, "mean of all"), ...Array.from({length: layers[state.layer].heads}, (_, i) => make("option", {value: i}, "head " + i)));
    if (state.head >= layers[state.layer].heads) state.head = -1;
    head.value = state.head;
  }
  function refresh() {
    const on = state.source === "attention";
    for (const node of controls.querySelectorAll(`[for=${id}-method], #${id}-method`)) node.hidden = methods === 0 && !layers.length;
    for (const name of ["layer", "head", "back"]) for (const node of controls.querySelectorAll(`[for=${id}-${name}], #${id}-${name}`)) node.hidden = !on;
    head.disabled = state.query !== null; back.disabled = state.query === null;
    words.forEach((button, index) => button.setAttribute("aria-pressed", state.source === methods + index));
    if (on) layer.setAttribute("aria-valuetext", layers[state.layer].path);
    draw();
  }
  const controls = make("div", {class: "controls"}, ...field("Method", method, "method"), ...field("Layer", layer, "layer"), ...field("Head", head, "head"),
    ...field("Opacity", opacity, "opacity"), ...field("Colours", colour, "colour"), ...field("Cells", cells, "cells"), ...field("Point", back, "back"));
  // The caption: a word shows where the network looked for it, and all of them can be played one after the other.
  const words = image.words.map((word, index) => make("button", {type: "button", "aria-pressed": false}, word.word));
  const play = make("button", {type: "button", id: id + "-play"}, "▶ play");
  let timer = null;
  function showWord(index) { state.source = methods + index; refresh(); }
  function stop() { clearInterval(timer); timer = null; play.textContent = "▶ play"; }
  words.forEach((button, index) => button.addEventListener("click", () => { stop(); showWord(index); }));
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    let next = 0;
    const advance = () => { if (next === words.length) return stop(); showWord(next++); };
    play.textContent = "■ stop";
    timer = setInterval(advance, 900);
    advance();
  });
  const caption = words.length ? make("div", {class: "words", role: "group", "aria-label": `Caption by ${image.captioner}: a word shows where it looked`}, ...words, play) : null;
  method.addEventListener("change", () => { stop(); state.source = method.value === "attention" ? "attention" : +method.value; refresh(); });
  layer.addEventListener("input", () => { state.layer = +layer.value; heads(); refresh(); });
  head.addEventListener("change", () => { state.head = +head.value; refresh(); });
  opacity.addEventListener("input", () => { state.opacity = +opacity.value; draw(); });
  colour.addEventListener("change", () => { state.colour = colour.value; draw(); });
  cells.addEventListener("change", () => { state.smooth = cells.value !== ""; draw(); });
  back.addEventListener("click", () => { state.query = null; refresh(); });

  function pointAt(x, y) {
    if (!layers.length) return;
    stop();
    state.source = "attention"; method.value = "attention";
    state.query = {x: Math.min(Math.max(x, 0), .9999), y: Math.min(Math.max(y, 0), .9999)};
    refresh();
  }
  canvas.addEventListener("click", event => {
    const box = canvas.getBoundingClientRect(), [l, t, r, b] = image.seen;
    pointAt(((event.clientX - box.left) / box.width - l) / (r - l), ((event.clientY - box.top) / box.height - t) / (b - t));
  });
  canvas.addEventListener("keydown", event => {
    if (!layers.length) return;
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    const at = state.query || {x: .5, y: .5}, grid = layers[state.layer];
    if (step) pointAt(at.x + step[0] / grid.w, at.y + step[1] / grid.h);
    else if (event.key === "Enter") pointAt(at.x, at.y);
    else if (event.key === "Escape") { state.query = null; refresh(); }
    else if (event.key === "+" || event.key === "-") {
      state.layer = Math.min(Math.max(state.layer + (event.key === "+" ? 1 : -1), 0), layers.length - 1); layer.value = state.layer; heads(); refresh();
    } else return;
    event.preventDefault();
  });

  const predictions = make("table", {}, make("caption", {class: "soft"}, "What it is, says " + image.model),
    make("tr", {}, make("th", {scope: "col"}, "label"), make("th", {scope: "col", class: "number"}, "score"), make("th", {"aria-hidden": "true"})),
    ...image.predictions.map(p => make("tr", {}, make("td", {}, p.label), make("td", {class: "number"}, (100 * p.score).toFixed(1) + " %"),
      make("td", {class: "share", "aria-hidden": "true"}, make("meter", {value: p.score, min: 0, max: 1})))));
  const right = make("div", {}, image.predictions.length ? predictions : null, make("h3", {}, "Look"), controls,
    make("p", {class: "soft"}, layers.length ? "Click a place of the picture to see where it looks. With the picture in focus: arrows move the point, + and − change the layer, Esc ends." : ""));
  const scored = heats.filter(heat => heat.deletion);
  if (scored.length) right.append(make("h3", {}, "How far to trust it"), make("table", {},
    make("tr", {}, make("th", {scope: "col"}, "method"), make("th", {scope: "col", class: "number"}, "deletion"), make("th", {scope: "col", class: "number"}, "insertion")),
    ...scored.map(heat => make("tr", {}, make("td", {}, heat.method), make("td", {class: "number"}, heat.deletionArea.toFixed(3)), make("td", {class: "number"}, heat.insertionArea.toFixed(3))))),
    make("p", {class: "soft"}, "Share of the answer left as the hottest places go (deletion: small is faithful) or come (insertion: large is faithful)."), curves(scored));
  if (image.heads.length) right.append(make("h3", {}, "Heads"), make("table", {}, make("tr", {}, ...["layer", "entropy", "idle", "twins"].map((t, i) => make("th", {scope: "col", class: i ? "number" : false}, t))),
    ...image.heads.map(row => make("tr", {}, make("td", {}, row.layer), ...[row.entropy.toFixed(2), row.idle, row.twins].map(t => make("td", {class: "number"}, String(t)))))),
    make("p", {class: "soft"}, "Entropy: 0 looks at one place, 1 everywhere alike. Idle heads look the same way from everywhere; twins look as another head does."));
  const article = make("article", {id}, make("h2", {}, image.name),
    make("div", {class: "columns"}, make("figure", {}, canvas, bar, make("div", {class: "ends"}, low, unit, high), make("figcaption", {}, say), caption), right));
  document.getElementById("images").append(article);
  heads();
  picture.addEventListener("load", refresh);
  picture.src = image.picture;
}

function curves(scored) {
  const w = 320, h = 150, left = 30, bottom = 130, names = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(names, "svg");
  const add = (tag, attributes, text) => { const node = document.createElementNS(names, tag); for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v); if (text) node.textContent = text; svg.append(node); };
  svg.setAttribute("viewBox", `0 0 ${w} ${h}`); svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "Curves of deletion and insertion, numbers in the table above");
  add("rect", {x: left, y: 8, width: w - left - 8, height: bottom - 8, class: "frame"});
  for (const [share, text] of [[0, "0"], [.5, "0.5"], [1, "1"]]) add("text", {x: left - 4, y: bottom - share * (bottom - 8) + 4, "text-anchor": "end"}, text);
  add("text", {x: left, y: h - 5}, "0"); add("text", {x: w - 8, y: h - 5, "text-anchor": "end"}, "share of the pixels, 1");
  for (const heat of scored) for (const kind of ["deletion", "insertion"]) {
    const values = heat[kind];
    add("polyline", {class: kind, points: values.map((v, i) => `${left + i / (values.length - 1) * (w - left - 8)},${bottom - v * (bottom - 8)}`).join(" ")});
  }
  return svg;
}
function show(images) {
  document.getElementById("images").replaceChildren();
  count = 0;
  images.forEach(view);
}
