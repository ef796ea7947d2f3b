"use strict";
document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.querySelectorAll("thead th")], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "descending";
    heads.forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
    const text = row => row.cells[column].textContent.trim();
    const numbers = [...body.rows].every(row => text(row) === "" || !Number.isNaN(Number(text(row))));
    const order = (one, other) => numbers ? Number(text(one)) - Number(text(other))
      : text(one).localeCompare(text(other), undefined, { numeric: true });
    const filled = [...body.rows].filter(row => text(row) !== ""), empty = [...body.rows].filter(row => text(row) === "");
    filled.sort((one, other) => down ? order(one, other) : order(other, one));
    body.append(...filled, ...empty);
  }));
});
{
  const get = id => document.getElementById(id);
  const viewer = get("viewer"), stage = get("stage"), divider = get("divider");
  const layers = { left: stage.querySelector(".left img"), right: stage.querySelector(".right img") };
  const tags = { left: stage.querySelector(".tag"), right: stage.querySelector(".tag.right") };
  let pictures = [], split = 0.5, zoom = 1, x = 0, y = 0;  // zoom 1 fits the stage; x, y: top left corner, px

  const fitted = () => {
    const image = layers.right;
    return Math.min(stage.clientWidth / image.naturalWidth, stage.clientHeight / image.naturalHeight);
  };
  function draw() {
    const scale = fitted() * zoom;
    const width = layers.right.naturalWidth * scale, height = layers.right.naturalHeight * scale;
    const inside = (place, size, room) => size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, place));
    x = inside(x, width, stage.clientWidth);
    y = inside(y, height, stage.clientHeight);
    for (const image of Object.values(layers)) image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    stage.classList.toggle("sharp", scale > 2.5);
    stage.style.setProperty("--split", `${split * 100}%`);
    divider.setAttribute("aria-valuenow", Math.round(split * 100));
  }
  function zoomTo(value, cx = stage.clientWidth / 2, cy = stage.clientHeight / 2) {
    const next = Math.min(16, Math.max(1, value)), ratio = next / zoom;
    x = cx - (cx - x) * ratio; y = cy - (cy - y) * ratio; zoom = next;
    draw();
  }
  function moveSplit(value) { split = Math.min(1, Math.max(0, value)); draw(); }
  function show(side) {
    const picture = pictures[get(side).selectedIndex];
    layers[side].src = picture.src;
    tags[side].textContent = layers[side].alt = picture.label;
    layers[side].decode().then(draw, () => {});
  }
  function open(card) {
    pictures = [...card.querySelectorAll("figure")].map(figure => ({
      src: figure.querySelector("img").src, label: figure.querySelector("figcaption").textContent }));
    get("name").textContent = card.dataset.name;
    for (const [side, first] of [["left", 0], ["right", Math.min(2, pictures.length - 1)]]) {
      get(side).replaceChildren(...pictures.map(picture => new Option(picture.label)));
      get(side).selectedIndex = first;
    }
    split = 0.5; zoom = 1;
    viewer.showModal();
    show("left"); show("right");
    divider.focus({ preventScroll: true });
  }
  document.querySelectorAll(".pair").forEach(card => card.addEventListener("click", () => open(card)));
  for (const side of ["left", "right"]) get(side).addEventListener("change", () => show(side));
  get("close").addEventListener("click", () => viewer.close());
  get("in").addEventListener("click", () => zoomTo(zoom * 1.5));
  get("out").addEventListener("click", () => zoomTo(zoom / 1.5));
  get("fit").addEventListener("click", () => zoomTo(1));
  addEventListener("resize", () => viewer.open && draw());
  divider.addEventListener("keydown", event => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (step) { moveSplit(split + step); event.preventDefault(); }
  });
  stage.addEventListener("wheel", event => {
    const box = stage.getBoundingClientRect();
    zoomTo(zoom * Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    event.preventDefault();
  }, { passive: false });
  const fingers = new Map();
  let dividing = false, lastTap = 0;
  stage.addEventListener("pointerdown", event => {
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    dividing = fingers.size === 1 && (event.target === divider || zoom === 1);
    const box = stage.getBoundingClientRect();
    if (dividing && event.target !== divider) moveSplit((event.clientX - box.left) / box.width);
    if (fingers.size === 1 && event.timeStamp - lastTap < 300 && event.target !== divider)
      zoomTo(zoom > 1 ? 1 : 3, event.clientX - box.left, event.clientY - box.top);
    lastTap = event.timeStamp;
  });
  stage.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const box = stage.getBoundingClientRect(), now = [event.clientX, event.clientY];
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = point => Math.hypot(point[0] - other[0], point[1] - other[1]);
      zoomTo(zoom * apart(now) / Math.max(1, apart(before)), (now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top);
    } else if (dividing) {
      moveSplit((event.clientX - box.left) / box.width);
    } else if (fingers.size === 1) {
      x += now[0] - before[0]; y += now[1] - before[1];
      draw();
    }
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"])
    stage.addEventListener(end, event => { fingers.delete(event.pointerId); dividing = false; });
}
