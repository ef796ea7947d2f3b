// The network in the browser: pixels in, pixels out. Needs nothing of the page.

/** Load ONNX Runtime and the network; WebGPU where there is, else WebAssembly. */
export async function load(wanted) {
  const here = new URL("./", import.meta.url);
  const adapter = wanted !== "wasm" && navigator.gpu ? await navigator.gpu.requestAdapter().catch(() => null) : null;
  const backend = adapter ? "webgpu" : "wasm";
  const ort = await import(new URL(`ort/ort.${backend}.min.mjs`, here));
  ort.env.wasm.wasmPaths = new URL("ort/", here).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const session = await ort.InferenceSession.create(new URL("network.onnx", here).href, {
    executionProviders: backend === "webgpu" ? ["webgpu", "wasm"] : ["wasm"],
  });
  return { ort, session, backend };
}

/** Fuse two ImageData of one size to a third. The infrared one counts by its luma (BT.601). */
export async function fuse(network, infrared, visible) {
  const { width, height } = visible;
  const count = width * height;
  const gray = new Uint8Array(count);
  const rgb = new Uint8Array(3 * count);
  for (let i = 0; i < count; i++) {
    const [r, g, b] = infrared.data.subarray(4 * i, 4 * i + 3);
    gray[i] = Math.min(255, Math.round(0.299 * r + 0.587 * g + 0.114 * b));
    rgb.set(visible.data.subarray(4 * i, 4 * i + 3), 3 * i);
  }
  const { Tensor } = network.ort;
  const answer = await network.session.run({
    infrared: new Tensor("uint8", gray, [1, height, width]),
    visible: new Tensor("uint8", rgb, [1, height, width, 3]),
  });
  const fused = await answer.fused.getData();
  const pixels = new Uint8ClampedArray(4 * count).fill(255);
  for (let i = 0; i < count; i++) pixels.set(fused.subarray(3 * i, 3 * i + 3), 4 * i);
  return new ImageData(pixels, width, height);
}

/** The pixels of a picture file, of another size if that is given. */
export async function decode(blob, width, height) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(width ?? bitmap.width, height ?? bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
