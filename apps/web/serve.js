"use strict";
// The page of `fovea serve`: sends a picture to /view and shows what comes back with the viewer of the report.
const at = id => document.getElementById(id);
let networks = [], file = null, asking = null;

function option(value, text) { return make("option", {value}, text); }

function fillMethods() {
  const network = networks.find(one => one.name === at("model").value);
  const methods = network ? network.methods : [];
  const before = at("look").value;
  at("look").replaceChildren(option("", "all of them"), ...methods.map(method => option(method.name, `${method.name}: ${method.summary}`)),
    option("none", "attention alone"));
  if (methods.some(method => method.name === before) || before === "none") at("look").value = before;
}

async function begin() {
  const answer = await fetch("/models");
  const {models, captioner} = await answer.json();
  networks = models;
  at("model").replaceChildren(...networks.map(one => option(one.name, one.name)));
  for (const id of ["model", "look", "scores"]) at(id).closest("label").hidden = networks.length === 0;
  at("captions").closest("label").hidden = captioner === "";
  fillMethods();
}

// A newer question takes the place of one that is under way.
async function ask() {
  if (!file) return;
  if (asking) asking.abort();
  const mine = asking = new AbortController();
  const query = new URLSearchParams();
  if (networks.length) {
    query.set("model", at("model").value);
    if (at("look").value) query.set("method", at("look").value);
    query.set("scores", at("scores").checked ? 1 : 0);
  }
  query.set("captions", at("captions").checked ? 1 : 0);
  const form = new FormData();
  form.append("image", file, file.name || "pasted");
  at("error").textContent = "";
  at("state").textContent = `looking at ${file.name || "the picture"} …`;
  const began = performance.now();
  try {
    const answer = await fetch("/view?" + query, {method: "POST", body: form, signal: mine.signal});
    const text = await answer.json();
    if (!answer.ok) throw new Error(text.error);
    show(text);
    const method = at("image0-method");
    if (method && at("look").value && at("look").value !== "none") {  // the one that was asked for comes first
      method.value = 0;
      method.dispatchEvent(new Event("change"));
    }
    at("state").textContent = `${((performance.now() - began) / 1000).toFixed(1)} s`;
  } catch (error) {
    if (mine !== asking) return;
    at("state").textContent = "";
    at("error").textContent = error instanceof TypeError ? "The server does not answer; is it still running?" : error.message;
  } finally {
    if (mine === asking) asking = null;
  }
}

function take(files) {
  if (!files || files.length === 0) return;
  file = files[0];
  ask();
}

at("ask").addEventListener("submit", event => event.preventDefault());
at("file").addEventListener("change", () => take(at("file").files));
document.addEventListener("paste", event => take(event.clipboardData.files));
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, event => {
  event.preventDefault();
  at("drop").classList.toggle("over", name === "dragover");
  if (name === "drop") take(event.dataTransfer.files);
});
at("model").addEventListener("change", () => { fillMethods(); ask(); });
for (const id of ["look", "scores", "captions"]) at(id).addEventListener("change", ask);
begin().catch(() => { at("error").textContent = "The server does not answer; is it still running?"; });
