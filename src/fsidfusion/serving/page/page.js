import { zipped } from "./zip.js";

const AT_ONCE = 2;  // pairs that are sent side by side
const MOST_TRIES = 60;  // of a pair that finds no place
const get = id => document.getElementById(id);
const LABELS = { infrared: "Infrared", visible: "Visible", mri: "MRI", ct: "CT", pet: "PET", spect: "SPECT" };
const SIDES = [
  /(?:^|[^a-z])(lwir|tir|ir|infrared|inf|thermal|ct|pet|spect)(?![a-z])/i,
  /(?:^|[^a-z])(vis|vi|visible|rgb|mri)(?![a-z])/i,
];
const chosen = [[], []];  // files of both sides
const places = new WeakMap();  // of a file, its path in a folder that was dropped
let pairs = [], shown = null, stopping = null, service = {};

const roles = () => get("kind").value.split(" ");
const stem = file => file.name.replace(/\.[^.]*$/, "");
const bare = name => name.replace(SIDES[0], "").replace(SIDES[1], "").replace(/^[_\-. ]+|[_\-. ]+$/g, "").toLowerCase();

/** Pairs of both sides by their names: equal stems, else equal without the word for the side; two alone always. */
function paired([first, second]) {
  if (first.length === 1 && second.length === 1) return { found: [[first[0], second[0]]], alone: [] };
  for (const key of [stem, file => bare(stem(file))]) {
    const others = new Map(second.map(file => [key(file), file]));
    const found = first.filter(file => others.has(key(file))).map(file => [file, others.get(key(file))]);
    if (found.length) {
      const taken = new Set(found.flat());
      return { found, alone: [...first, ...second].filter(file => !taken.has(file)) };
    }
  }
  return { found: [], alone: [...first, ...second] };
}

function renew() {
  const names = roles().map(role => LABELS[role]);
  ["first", "second"].forEach((id, side) => {
    get(`${id}-name`).textContent = names[side];
    get("compare").options[side].textContent = names[side];
    const files = chosen[side];
    get(`${id}-told`).textContent = files.length > 1 ? `${files.length} pictures` : files.length ? files[0].name : "";
  });
  for (const slot of document.querySelectorAll(".slot")) slot.classList.remove("wrong");
  const { found, alone } = paired(chosen);
  forget();
  pairs = found.map(files => ({ files, name: stem(files[0]), state: "ready", why: "" }));
  get("unpaired").textContent = chosen[0].length && chosen[1].length && alone.length
    ? `Without a partner of the same name: ${alone.slice(0, 5).map(file => file.name).join(", ")}${alone.length > 5 ? ` and ${alone.length - 5} more` : ""}.`
    : "";
  shown = pairs[0] ?? null;
  drawQueue();
  draw();
}

function forget() {
  for (const pair of pairs) for (const address of [...(pair.previews ?? []), pair.url, pair.told]) if (address) URL.revokeObjectURL(address);
}

/** The files that were dropped, those of folders too; where they lay is remembered, for their side. */
async function dropped(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some(entry => entry.isDirectory)) return [...transfer.files];
  const files = [];
  async function walk(entry) {
    if (entry.name.startsWith(".")) return;
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      places.set(file, entry.fullPath);
      files.push(file);
      return;
    }
    const reader = entry.createReader();
    for (;;) {  // a part of the folder at a time
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!part.length) return;
      for (const below of part) await walk(below);
    }
  }
  for (const entry of entries) await walk(entry);
  return files.sort((a, b) => a.name.localeCompare(b.name));
}

function add(files, side) {
  const pictures = [...files];
  if (side !== undefined) chosen[side] = pictures;
  else {  // dropped on the page: by the words in their names, else in turn
    const sides = pictures.map(file => [0, 1].find(place => SIDES[place].test(places.get(file) ?? stem(file))));
    const known = sides.includes(0) && sides.includes(1);
    if (pictures.length === 1) chosen[chosen[0].length ? 1 : 0] = pictures;
    else [0, 1].forEach(place => {
      chosen[place] = pictures.filter((_, index) => known ? sides[index] === place : index % 2 === place);
    });
  }
  renew();
}

function drawQueue() {
  const waiting = pairs.filter(pair => ["waiting", "fusing"].includes(pair.state)).length;
  const done = pairs.filter(pair => pair.state === "done").length, failed = pairs.filter(pair => pair.state === "failed").length;
  get("queue").replaceChildren(...pairs.map(pair => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.className = pair.state;
    button.setAttribute("aria-current", String(pair === shown));
    const words = { ready: "ready", waiting: "waiting", fusing: "fusing…", done: "done", failed: "failed", stopped: "stopped" };
    for (const [kind, text] of [["name", pair.name], ["state", words[pair.state]], ["why", pair.why]]) {
      if (!text) continue;
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      button.append(part);
    }
    button.addEventListener("click", () => { shown = pair; drawQueue(); draw(); });
    item.append(button);
    return item;
  }));
  const total = pairs.length;
  get("status").textContent = !total ? "Nothing is waiting."
    : waiting ? `${done + failed} of ${total} done`
    : done + failed ? `${done} of ${total} fused${failed ? `, ${failed} failed` : ""}` : `${total} ${total > 1 ? "pairs are" : "pair is"} ready`;
  get("progress").hidden = total < 2 || !(done + failed + waiting);
  get("progress").max = Math.max(1, total);
  get("progress").value = done + failed;
  get("start").disabled = !total || waiting > 0;
  get("start").textContent = total > 1 ? `Fuse ${total} pairs` : "Fuse";
  get("stop").disabled = !waiting;
  get("clear").disabled = !(chosen[0].length || chosen[1].length) || waiting > 0;
  get("all").hidden = done < 2;
}

function picture(image, address, alt) {
  image.hidden = !address;
  image.alt = alt;
  if (address) image.src = address; else image.removeAttribute("src");
}

function draw() {
  const names = roles().map(role => LABELS[role]), pair = shown;
  const side = Number(get("compare").value);
  if (pair && !pair.previews) pair.previews = pair.files.map(file => URL.createObjectURL(file));
  const fused = Boolean(pair?.url);
  const left = fused ? pair.previews[side] : pair?.previews[0], right = fused ? pair.url : pair?.previews[1];
  picture(get("over"), left, pair ? `${names[fused ? side : 0]} picture of ${pair.name}` : "");
  picture(get("under"), right, pair ? `${fused ? "Fused" : names[1]} picture of ${pair.name}` : "");
  get("tag-over").textContent = names[fused ? side : 0];
  get("tag-under").textContent = fused ? "Fused" : names[1];
  for (const id of ["tag-over", "tag-under", "controls"]) get(id).hidden = !pair;
  get("compare").disabled = !fused;
  get("empty").hidden = Boolean(pair);
  get("stage").classList.toggle("compared", Boolean(pair));
  get("error").textContent = pair?.why ?? "";
  get("notes").textContent = pair?.notes ?? "";
  document.querySelectorAll(".slot").forEach((slot, index) => slot.classList.toggle("wrong", pair?.source === roles()[index]));
  get("downloads").hidden = !fused;
  if (!fused) return;
  get("save").href = pair.url;
  get("save").download = `${pair.name}-fused.${pair.settings.options.format}`;
  pair.told ??= URL.createObjectURL(new Blob([JSON.stringify(pair.settings, null, 2)], { type: "application/json" }));
  get("settings").href = pair.told;
  get("settings").download = `${pair.name}-settings.json`;
}

function options() {
  const values = {};
  for (const field of get("form").elements) {
    if (field.name) values[field.name] = field.type === "checkbox" ? String(field.checked) : field.value;
  }
  return values;
}

function headers() {
  const token = get("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

const pause = (seconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, 1000 * seconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

async function send(pair, values, signal) {
  const form = new FormData();
  roles().forEach((role, side) => form.append(role, pair.files[side], pair.files[side].name));
  for (const [name, value] of Object.entries(values)) form.append(name, value);
  for (let turn = 0; ; turn++) {
    const answer = await fetch("/v1/fuse", { method: "POST", body: form, headers: headers(), signal });
    if (answer.status !== 429 || turn >= MOST_TRIES) return answer;
    await pause(Number(answer.headers.get("Retry-After")) || 1, signal);
  }
}

/** A problem in the words of this page, which has fields where the command line has options. */
function told({ source, detail }) {
  const words = detail.replace("--align", "an alignment").replace("--resize", "let the first picture be scaled");
  return (LABELS[source] ? `${LABELS[source]}: ` : "") + words.replace("give an alignment", "choose an alignment");
}

async function fuse(pair, values, signal) {
  Object.assign(pair, { state: "fusing", why: "", notes: "", source: "" });
  drawQueue();
  const start = performance.now();
  try {
    const answer = await send(pair, values, signal);
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({ detail: `the service answered ${answer.status}` }));
      if (answer.status === 401) get("token-field").hidden = false;
      throw Object.assign(new Error(told(problem)), { source: problem.source });
    }
    pair.result = await answer.blob();
    for (const address of [pair.url, pair.told]) if (address) URL.revokeObjectURL(address);
    pair.told = null;
    pair.url = URL.createObjectURL(pair.result);
    const notes = JSON.parse(answer.headers.get("FSIDFusion-Notes") ?? "[]");
    const seconds = (performance.now() - start) / 1000;
    pair.notes = [`${seconds.toFixed(2)} s`, ...notes].join(" · ");
    const [first, second] = roles();
    pair.settings = {
      [first]: pair.files[0].name, [second]: pair.files[1].name, options: values,
      model: service.default, version: service.version, notes, timing: answer.headers.get("Server-Timing"),
    };
    pair.state = "done";
  } catch (error) {
    const stopped = error.name === "AbortError";
    pair.state = stopped ? "stopped" : "failed";
    pair.source = error.source ?? "";
    pair.why = stopped ? "" : error instanceof TypeError ? "The service cannot be reached; is it running?" : error.message;
  }
  if (!shown || shown === pair) draw();
  drawQueue();
}

async function run() {
  const values = options();
  stopping = new AbortController();
  for (const pair of pairs) Object.assign(pair, { state: "waiting", why: "" });
  const rest = pairs.slice();
  drawQueue();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let pair = rest.shift(); pair; pair = rest.shift()) {
      if (stopping.signal.aborted) pair.state = "stopped"; else await fuse(pair, values, stopping.signal);
    }
  }));
  drawQueue();
  draw();
}

async function saveAll() {
  const done = pairs.filter(pair => pair.state === "done"), taken = new Map(), files = [];
  for (const pair of done) {
    const again = taken.get(pair.name) ?? 0;
    taken.set(pair.name, again + 1);
    const base = again ? `${pair.name}-${again + 1}` : pair.name;
    files.push([`${base}.${pair.settings.options.format}`, new Uint8Array(await pair.result.arrayBuffer())]);
  }
  files.push(["settings.json", new TextEncoder().encode(JSON.stringify(done.map(pair => pair.settings), null, 2))]);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([zipped(files)], { type: "application/zip" }));
  link.download = "fused.zip";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

get("form").addEventListener("submit", event => { event.preventDefault(); run(); });
get("stop").addEventListener("click", () => stopping?.abort());
get("clear").addEventListener("click", () => {
  chosen[0] = []; chosen[1] = [];
  get("first").value = get("second").value = "";
  renew();
});
get("all").addEventListener("click", saveAll);
get("compare").addEventListener("change", draw);
get("kind").addEventListener("change", () => {
  const medical = !get("kind").value.startsWith("infrared");
  for (const option of get("color").options) option.disabled = medical && /heat|thermal/.test(option.value);
  if (get("color").selectedOptions[0].disabled) get("color").value = "auto";
  get("color").options[0].textContent = medical ? "Of the pictures" : "Of the visible picture";
  renew();
});
["first", "second"].forEach((id, side) => get(id).addEventListener("change", () => {
  if (get(id).files.length) add(get(id).files, side);
}));
get("split").addEventListener("input", () => get("stage").style.setProperty("--split", `${get("split").value}%`));
function slide(event) {
  if (!event.buttons || !shown) return;
  const box = get("stage").getBoundingClientRect();
  get("split").value = 100 * (event.clientX - box.left) / box.width;
  get("split").dispatchEvent(new Event("input"));
}
get("stage").addEventListener("pointerdown", slide);
get("stage").addEventListener("pointermove", slide);

addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("over"); });
addEventListener("drop", async event => {
  event.preventDefault();
  document.body.classList.remove("over");
  const slot = event.target.closest?.(".slot");
  const files = await dropped(event.dataTransfer);  // begun before the event is over
  if (files.length) add(files, slot ? Number(slot.dataset.side) : undefined);
});

fetch("/v1/models", { headers: headers() }).then(async answer => {
  if (answer.status === 401) get("token-field").hidden = false;
  else if (answer.ok) service = await answer.json();
}).catch(() => {});
renew();
