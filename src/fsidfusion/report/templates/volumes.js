"use strict";
{
  const get = id => document.getElementById(id);
  const make = (tag, parent, properties = {}) => parent.appendChild(Object.assign(document.createElement(tag), properties));
  const content = JSON.parse(get("content").textContent);
  const size = content.shape, spacing = content.spacing;  // voxels and mm to the left, back and head
  // Of each plane: the axis it is stacked on, the axes that go across and down, whether down is reversed, its sides.
  const planes = {
    axial: { axis: 2, across: 0, down: 1, flip: false, sides: "RL" },
    coronal: { axis: 1, across: 0, down: 2, flip: true, sides: "RL" },
    sagittal: { axis: 0, across: 1, down: 2, flip: true, sides: "AP" },
  };
  const names = Object.keys(planes).sort((a, b) => (b === content.axis) - (a === content.axis));
  const at = size.map(n => n >> 1);  // the voxel that all planes go through
  const strides = [1, size[0], size[0] * size[1]];
  const sliders = {}, views = [], controls = [];
  const fusion = content.fusion;  // what the last volume is drawn of; null where it is shown as it is
  const [base, other] = content.volumes, last = content.volumes[content.volumes.length - 1];
  let chosen = "all", mode = fusion && (fusion.below ? "fused" : "overlay"), opacity = 1, hovered = null;
  const short = value => Number(value.toPrecision(4)).toString();
  const clip = value => value < 0 ? 0 : value > 1 ? 1 : value;

  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // How a voxel is drawn: each writes red, green and blue, 0..1, of voxel i into ink.
  const ink = new Float64Array(3);
  const gray = value => { ink[0] = ink[1] = ink[2] = value; };
  function own(volume, i) {  // through its own window and colours
    if (volume.channels === 3) for (let c = 0; c < 3; c++) ink[c] = volume.voxels[3 * i + c] / 255;
    else if (!volume.lookup) gray(volume.voxels[i] / 255);
    else for (let c = 0, color = 3 * volume.voxels[i]; c < 3; c++) ink[c] = volume.lookup[color + c] / 255;
  }
  const bright = (volume, i) => volume.window[volume.voxels[i]];
  const brighter = (volume, i) => bright(volume, i) - volume.voxels[i] / 255;  // than as it was fused
  const drawn = {
    fused(i) {
      let below = fusion.below[i] / 255 + brighter(base, i);
      if (!fusion.coloured && other.channels === 1) below += brighter(other, i);
      below = clip(below);
      if (!fusion.coloured) return gray(below);
      own(other, i);
      const { opacity: least, full, detail, faded } = fusion.uptake;
      const near = clip(Math.max(ink[0], ink[1], ink[2]) / faded);
      const cover = Math.min(1, opacity * (least + (full - least) * near * near * (3 - 2 * near)));
      for (let c = 0; c < 3; c++) ink[c] = (1 - cover) * below + cover * (1 - detail + detail * below) * ink[c];
    },
    overlay(i) {
      const below = bright(base, i);
      own(other, i);
      const value = other.channels === 3 ? 0.299 * ink[0] + 0.587 * ink[1] + 0.114 * ink[2] : bright(other, i);
      const [least, more] = fusion.coloured ? fusion.uptake.overlay : [0, 0.5];
      const cover = Math.min(1, opacity * (least + more * value));
      if (!fusion.coloured) return gray((1 - cover) * below + cover * value);
      for (let c = 0; c < 3; c++) ink[c] = (1 - cover) * below + cover * ink[c];
    },
    checkerboard(i, x, y, side) { own((Math.floor(x / side) + Math.floor(y / side)) % 2 ? other : base, i); },
    edges(i) { own(base, i); },
  };
  const titles = { fused: "fused", overlay: "plain overlay", checkerboard: "checkerboard", edges: "edges" };

  function paint(view) {
    const { axis, across, down, flip } = view.plane, { volume, image } = view, pixels = image.data;
    const rule = fusion && volume === last ? drawn[mode] : i => own(volume, i);
    const wide = size[across], tall = size[down], start = at[axis] * strides[axis];
    const row = y => start + (flip ? tall - 1 - y : y) * strides[down];
    const side = Math.max(1, Math.round(Math.max(wide, tall) / 8));
    const outlines = rule === drawn.fused || rule === drawn.overlay ? fusion.outlines : null;
    for (let y = 0, p = 0; y < tall; y++) {
      for (let x = 0, i = row(y); x < wide; x++, i += strides[across], p += 4) {
        if (outlines && outlines[i]) {
          pixels.set(fusion.colors[(outlines[i] - 1) % fusion.colors.length], p);
        } else {
          rule(i, x, y, side);
          for (let c = 0; c < 3; c++) pixels[p + c] = Math.floor(255 * clip(ink[c]) + 0.5);
        }
        pixels[p + 3] = 255;
      }
    }
    if (rule === drawn.edges) trace(pixels, wide, tall, (x, y) => row(y) + x * strides[across]);
    view.context.putImageData(image, 0, 0);
    view.tag.textContent = fusion && volume === last ? titles[mode] : volume.label;
    const place = (a, reversed) => 100 * ((reversed ? size[a] - 1 - at[a] : at[a]) + 0.5) / size[a];
    view.lines[0].style.left = `${place(across, false)}%`;
    view.lines[1].style.top = `${place(down, flip)}%`;
  }
  function trace(pixels, wide, tall, index) {  // the edges of the other volume, one pixel wide, in red
    const values = new Float32Array(wide * tall), slope = new Float32Array(wide * tall);
    for (let y = 0; y < tall; y++) for (let x = 0; x < wide; x++) {
      own(other, index(x, y));
      values[y * wide + x] = Math.max(ink[0], ink[1], ink[2]);
    }
    let steepest = 0;
    const tilt = (p, step) => values[p + step] - values[p - step];
    for (let y = 1; y < tall - 1; y++) for (let x = 1; x < wide - 1; x++) {
      const p = y * wide + x;
      slope[p] = Math.hypot(tilt(p, 1), tilt(p, wide));
      steepest = Math.max(steepest, slope[p]);
    }
    for (let y = 1; y < tall - 1; y++) for (let x = 1; x < wide - 1; x++) {
      const p = y * wide + x, step = Math.abs(tilt(p, 1)) > Math.abs(tilt(p, wide)) ? 1 : wide;
      if (slope[p] > 0.15 * steepest && slope[p] >= slope[p - step] && slope[p] > slope[p + step])
        pixels.set([255, 60, 60], 4 * p);
    }
  }
  function draw() {
    for (const name of names) {
      const axis = planes[name].axis, { input, text } = sliders[name];
      input.value = at[axis];
      text.textContent = `${name} ${at[axis] + 1} of ${size[axis]}`;
    }
    for (const view of views) if (!view.row.hidden) paint(view);
  }
  function move(axis, index) {
    at[axis] = Math.min(size[axis] - 1, Math.max(0, Math.round(index)));
    draw();
    tell(at);
  }
  function fit() {  // one scale of millimetres for all planes
    const width = get("sliders").clientWidth / 3 - 12;
    const extent = axis => size[axis] * spacing[axis];
    const widest = Math.max(extent(0), extent(1)), tallest = Math.max(extent(1), extent(2));
    const room = chosen === "all" ? Math.max(190, (innerHeight - 120) / 3) : Math.max(150, innerHeight * 0.72);
    const scale = Math.min(width / widest, room / tallest);  // all rows in sight, as far as they can be
    document.documentElement.style.setProperty("--tall", `${Math.round(tallest * scale) + 2}px`);
    for (const view of views) {
      view.frame.style.width = `${extent(view.plane.across) * scale}px`;
      view.frame.style.height = `${extent(view.plane.down) * scale}px`;
    }
  }
  function choose(label) {
    chosen = label;
    for (const button of get("choice").children) button.setAttribute("aria-pressed", button.textContent === label);
    for (const view of views) view.row.hidden = chosen !== "all" && view.volume.label !== chosen;
    for (const row of get("rows").children) row.style.display = row.hidden ? "none" : "";
    fit(); draw();
  }
  function addView(row, volume, name) {
    const plane = planes[name];
    const cell = make("div", row, { className: "cell" });
    const frame = make("div", cell, { className: "view" });
    const canvas = make("canvas", frame, { width: size[plane.across], height: size[plane.down] });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${volume.label}, ${name}`);
    const lines = ["down", "across"].map(className => make("i", frame, { className }));
    const tag = make("span", cell, { className: "tag name", textContent: volume.label });
    make("span", cell, { className: "tag left", textContent: plane.sides[0] });
    make("span", cell, { className: "tag right", textContent: plane.sides[1] });
    const context = canvas.getContext("2d");
    views.push({ row, volume, plane, frame, lines, tag, context, image: context.createImageData(canvas.width, canvas.height) });
    let turned = 0, held = null;
    cell.addEventListener("wheel", event => {
      turned += event.deltaY / (event.deltaMode === 0 ? 40 : 1);
      const steps = Math.trunc(turned);
      turned -= steps;
      if (steps) move(plane.axis, at[plane.axis] + Math.max(-3, Math.min(3, steps)));
      event.preventDefault();
    }, { passive: false });
    cell.addEventListener("pointerenter", () => { hovered = plane; });
    cell.addEventListener("pointerleave", () => { hovered = null; });
    cell.addEventListener("contextmenu", event => event.preventDefault());
    const under = event => {  // the voxel below the cursor
      const box = frame.getBoundingClientRect(), place = [...at];
      const y = (event.clientY - box.top) / box.height * size[plane.down] - 0.5;
      place[plane.across] = (event.clientX - box.left) / box.width * size[plane.across] - 0.5;
      place[plane.down] = plane.flip ? size[plane.down] - 1 - y : y;
      return place.map((n, a) => Math.min(size[a] - 1, Math.max(0, Math.round(n))));
    };
    const point = event => {
      const place = under(event);
      move(plane.across, place[plane.across]);
      move(plane.down, place[plane.down]);
    };
    frame.addEventListener("pointerdown", event => {
      frame.setPointerCapture(event.pointerId);
      const windowed = volume.ends ? volume : other && other.ends ? other : base;
      held = event.button === 2 && windowed.ends ? { windowed, x: event.clientX, y: event.clientY, ends: windowed.ends() } : null;
      if (event.button === 0) point(event);
    });
    frame.addEventListener("pointermove", event => {
      tell(under(event));
      if (held && event.buttons & 2) {
        const wider = (event.clientX - held.x) / 2, higher = (event.clientY - held.y) / 2;
        held.windowed.setEnds(held.ends[0] + higher - wider, held.ends[1] + higher + wider);
      } else if (event.buttons & 1) point(event);
    });
  }
  addEventListener("keydown", event => {
    const step = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
    if (!step || !hovered || ["INPUT", "SELECT"].includes(event.target.tagName)) return;
    move(hovered.axis, at[hovered.axis] + step);
    event.preventDefault();
  });
  function tell(place) {  // the values at a voxel, in the units of the volumes
    const [x, y, z] = content.affine.map(row => row[0] * place[0] + row[1] * place[1] + row[2] * place[2] + row[3]);
    const sides = [[x, "R", "L"], [y, "A", "P"], [z, "S", "I"]];
    const words = sides.map(([mm, up, down]) => `${mm < 0 ? down : up} ${Math.abs(mm).toFixed(1)}`);
    const index = place.reduce((sum, n, axis) => sum + n * strides[axis], 0);
    const values = content.volumes.filter(volume => volume.level).map(({ label, voxels, level }) => {
      const byte = voxels[index], end = byte === 255 ? "\u2265 " : byte === 0 && level.low !== 0 ? "\u2264 " : "";
      return `${label} ${end}${short(level.low + (level.high - level.low) * byte / 255)} ${level.unit}`.trim();
    });
    get("cursor").textContent = `${words.join("  ")} mm   ${values.join("   ")}`;
  }
  function refresh() {
    if (!views.length) return;  // not all is there yet
    const changed = fusion && controls.some(control => control.changed());
    get("changed").textContent = changed ? "Not as in the file: windows, colours or opacity were changed here." : "";
    draw();
  }
  function addWindow(volume) {  // a colour bar whose two ends can be moved
    const { low, high, unit } = volume.level, asFused = volume.table;
    const box = make("div", get("side"), { className: "window" });
    make("span", box, { textContent: `${volume.label}${unit ? `, ${unit}` : ""}` });
    const reset = make("button", box, { type: "button", textContent: "as fused" });
    const bar = make("canvas", box, { width: 256, height: 1 }), context = bar.getContext("2d");
    const ticks = make("div", box, { className: "ticks" });
    const numbers = [0, 1, 2].map(() => make("span", ticks));
    const ends = make("div", box, { className: "ends" });
    const [first, last] = ["from", "to"].map((word, side) => {
      const label = make("label", ends, { textContent: `${word} ` });
      const input = make("input", label, { type: "range", min: 0, max: 255, step: 1, value: 255 * side });
      input.setAttribute("aria-label", `${volume.label} ${word}`);
      return input;
    });
    const apply = () => {
      const a = Math.min(Number(first.value), 254), b = Math.max(Number(last.value), a + 1);
      first.value = a; last.value = b;
      volume.lookup = new Uint8ClampedArray(768);
      volume.window = new Float64Array(256);
      for (let byte = 0; byte < 256; byte++) {
        volume.window[byte] = clip((byte - a) / (b - a));
        const color = 3 * Math.round(255 * volume.window[byte]);
        for (let c = 0; c < 3; c++) volume.lookup[3 * byte + c] = volume.table[color + c];
      }
      const image = context.createImageData(256, 1);
      for (let i = 0; i < 256; i++) image.data.set([...volume.table.slice(3 * i, 3 * i + 3), 255], 4 * i);
      context.putImageData(image, 0, 0);
      const value = byte => low + (high - low) * byte / 255;
      [a, (a + b) / 2, b].forEach((byte, i) => { numbers[i].textContent = short(value(byte)); });
      refresh();
    };
    first.addEventListener("input", apply); last.addEventListener("input", apply);
    volume.ends = () => [Number(first.value), Number(last.value)];
    volume.setEnds = (a, b) => { first.value = Math.min(a, b - 1); last.value = b; apply(); };
    let map = null;
    if (volume.colormap) {
      const label = make("label", box, { className: "wide", textContent: "colours" });
      map = make("select", label);
      map.setAttribute("aria-label", `${volume.label} colours`);
      for (const name of Object.keys(content.tables)) make("option", map, { textContent: name });
      map.value = volume.colormap;
      map.addEventListener("change", () => { volume.table = bytes(content.tables[map.value]); apply(); });
    }
    reset.addEventListener("click", () => {
      first.value = 0; last.value = 255; volume.table = asFused;
      if (map) map.value = volume.colormap;
      apply();
    });
    controls.push({ changed: () => first.value !== "0" || last.value !== "255" || (map && map.value !== volume.colormap) });
    apply();
  }
  function addFusion() {  // how the last row is drawn
    const box = make("div", get("side"), { className: "window" });
    const label = make("label", box, { className: "wide", textContent: "last row" });
    const select = make("select", label);
    select.setAttribute("aria-label", "last row");
    for (const name of Object.keys(drawn))
      if (name !== "fused" || fusion.below) make("option", select, { value: name, textContent: titles[name] });
    select.value = mode;
    select.addEventListener("change", () => { mode = select.value; refresh(); });
    const text = make("label", box, { className: "wide", textContent: "opacity of the colours" });
    const input = make("input", text, { type: "range", min: 0, max: 150, step: 1, value: 100 });
    input.setAttribute("aria-label", "opacity");
    input.addEventListener("input", () => { opacity = Number(input.value) / 100; refresh(); });
    text.hidden = !fusion.coloured && Boolean(fusion.below);
    controls.push({ changed: () => opacity !== 1 });
  }
  function addLines() {
    const box = make("div", get("side"), { className: "window" });
    const label = make("label", box, { className: "wide" });
    const input = make("input", label, { type: "checkbox", checked: true });
    label.append(" cross lines");
    input.addEventListener("change", () => get("rows").classList.toggle("bare", !input.checked));
  }
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  async function start() {
    for (const name of names) {
      const axis = planes[name].axis;
      const label = make("label", get("sliders")), text = make("span", label);
      const input = make("input", label, { type: "range", min: 0, max: size[axis] - 1, step: 1 });
      input.addEventListener("input", () => move(axis, Number(input.value)));
      sliders[name] = { input, text };
    }
    if (fusion) for (const name of ["below", "outlines"]) if (fusion[name]) fusion[name] = await unpack(fusion[name]);
    for (const volume of content.volumes) {
      if (volume.voxels) volume.voxels = await unpack(volume.voxels);
      if (volume.table) {
        volume.table = bytes(volume.table);
        addWindow(volume);
      }
    }
    if (fusion) addFusion();
    addLines();
    make("p", get("side"), { id: "changed" });
    for (const volume of content.volumes) {
      const row = make("div", get("rows"), { className: "row" });
      for (const name of names) addView(row, volume, name);
    }
    for (const label of ["all", ...content.volumes.map(volume => volume.label)])
      make("button", get("choice"), { type: "button", textContent: label }).addEventListener("click", () => choose(label));
    choose("all");
    tell(at);
    addEventListener("resize", () => { fit(); });
  }
  start().catch(error => { console.error(error); get("failure").hidden = false; });
}
