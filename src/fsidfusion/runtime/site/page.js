import { decode, fuse, load } from "./fusion.js";

const part = (id) => document.getElementById(id);
const said = part("said");
let network;

function show(canvas, pixels) {
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function split() {
  part("before").style.clipPath = `inset(0 ${100 - part("split").value}% 0 0)`;
}

async function run(infrared, visible) {
  try {
    said.value = "fusing";
    const below = await decode(visible);
    const above = await decode(infrared, below.width, below.height);
    const start = performance.now();
    const fused = await fuse(network, above, below);
    const seconds = ((performance.now() - start) / 1000).toFixed(2);
    show(part("fused"), fused);
    show(part("before"), below);
    split();
    part("result").hidden = false;
    const blob = await new Promise((done) => part("fused").toBlob(done));
    part("save").href = URL.createObjectURL(blob);
    const names = infrared.name ? `infrared ${infrared.name}, visible ${visible.name}: ` : "";
    said.value = `${names}${below.width}x${below.height} in ${seconds} s by ${network.backend}`;
  } catch (error) {
    said.value = `these pictures cannot be fused (${error.message}); give two that a browser shows, of one scene`;
  }
}

part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(part("infrared").files[0], part("visible").files[0]);
});
part("split").addEventListener("input", split);
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const files = event.dataTransfer.files;
  if (!network || files.length !== 2) said.value = "drop two pictures: the infrared one and the visible one";
  else run(files[0], files[1]);
});

if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(() => {});
try {
  network = await load();
  said.value = `ready, by ${network.backend === "webgpu" ? "WebGPU" : "WebAssembly"}`;
  part("fuse").disabled = false;
} catch (error) {
  said.value = `the network cannot be loaded (${error.message}); this page must come from a web server`;
}
