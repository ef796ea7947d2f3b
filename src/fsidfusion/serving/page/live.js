// The newest picture is asked for again and again, each time after the one that was shown: who is slow gets fewer.

const of = (id) => document.getElementById(id);
const view = of("view");
const pen = view.getContext("2d", { alpha: false });
const LOOK = 500; // milliseconds between two looks at the figures
const AGAIN = 1000; // before another attempt when the run cannot be reached
const LATELY = 40; // pictures whose rate is shown
const WORDS = { waiting: "awaited", live: "live", silent: "sends nothing", lost: "lost, waited for", ended: "ended" };

let number = 0; // of the picture that is shown
let run = 0; // tells one run from the next at the same address
let isPaused = false;
let isReached = true;
let times = [];
let states = {};
let token = "";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const asked = (path) =>
  fetch(path, { cache: "no-store", headers: token ? { Authorization: `Bearer ${token}` } : {} });

async function pictures() {
  for (;;) {
    if (isPaused || document.hidden || !isReached) {
      times = [];
      await wait(100);
      continue;
    }
    try {
      const answer = await asked(`/v1/live/picture.jpg?after=${number}`);
      if (answer.status === 200) {
        await draw(answer);
      } else if (answer.status !== 204) {
        await wait(AGAIN);
      }
    } catch {
      await wait(AGAIN);
    }
  }
}

async function draw(answer) {
  const picture = await createImageBitmap(await answer.blob());
  number = Number(answer.headers.get("Picture-Number"));
  if (isPaused) {
    return;
  }
  if (view.width !== picture.width || view.height !== picture.height) {
    [view.width, view.height] = [picture.width, picture.height];
  }
  pen.drawImage(picture, 0, 0);
  picture.close();
  view.hidden = false;
  of("empty").hidden = true;
  of("save").disabled = false;
  times.push(performance.now());
  times = times.slice(-LATELY);
}

async function figures() {
  for (;;) {
    try {
      const answer = await asked("/v1/live");
      if (answer.status === 401) {
        of("token-form").hidden = false;
        told("A token is needed to watch: FSIDFUSION_TOKEN of the run.");
      } else if (answer.ok) {
        of("token-form").hidden = true;
        show(await answer.json());
        told("");
      } else {
        told(`The run answers ${answer.status}.`);
      }
      isReached = answer.ok;
    } catch {
      isReached = false;
      told("The run has ended, or cannot be reached.");
    }
    if (!isReached) {
      times = [];
      of("fps").textContent = of("latency").textContent = of("shown").textContent = "–";
      for (const state of document.querySelectorAll(".source .state")) {
        [state.textContent, state.className] = ["not known", "state"];
      }
      banner();
    }
    await wait(isReached ? LOOK : AGAIN);
  }
}

function told(text) {
  if (of("error").textContent !== text) {
    of("error").textContent = text;
  }
}

function show(state) {
  if (state.run !== run) {
    [run, number] = [state.run, 0]; // another run at this address counts from 1 again
  }
  const now = performance.now();
  times = times.filter((time) => now - time < 2000);
  const span = (times.at(-1) - times[0]) / 1000;
  of("shown").textContent = times.length > 2 && span > 0 ? `${((times.length - 1) / span).toFixed(1)} fps` : "–";
  of("fps").textContent = state.fps ? state.fps.toFixed(1) : "–";
  of("latency").textContent = state.latency_ms ? `${state.latency_ms} ms` : "–";
  of("frames").textContent = state.frames.toLocaleString("en");
  of("alone").textContent = (state.visible_alone ?? 0).toLocaleString("en");
  of("seconds").textContent = clock(state.seconds ?? 0);
  of("note").textContent = [state.size ? `${state.size[0]}x${state.size[1]} pixels` : "", state.note ?? ""]
    .filter(Boolean)
    .join("; ");
  sources(state.sources);
  events(state.events);
  banner();
}

function clock(seconds) {
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ""}${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
}

function sources(sides) {
  if (!sides.length) {
    return;
  }
  const box = of("sources");
  if (box.children.length !== sides.length || !box.querySelector(".source")) {
    box.replaceChildren(...sides.map(() => made()));
  }
  sides.forEach((side, at) => {
    const [title, state, name, told] = box.children[at].children;
    title.textContent = side.side[0].toUpperCase() + side.side.slice(1);
    state.textContent = WORDS[side.state] ?? side.state;
    state.className = `state ${side.state}`;
    name.textContent = side.name;
    const age = side.state === "live" || side.age === null ? "" : `, last frame ${side.age.toFixed(1)} s ago`;
    told.textContent =
      `${side.fps ? `${side.fps.toFixed(1)} fps, ` : ""}${side.frames.toLocaleString("en")} frames, ` +
      `${side.dropped.toLocaleString("en")} dropped, ${side.reconnects} reconnects${age}`;
    if (states[side.side] && states[side.side] !== side.state) {
      of("said").textContent = `${title.textContent}: ${state.textContent}`;
    }
    states[side.side] = side.state;
  });
}

function made() {
  const source = document.createElement("div");
  source.className = "source";
  for (const [kind, name] of [["h3", ""], ["span", "state"], ["p", "name"], ["p", "told"]]) {
    const part = document.createElement(kind);
    part.className = name;
    source.append(part);
  }
  return source;
}

function events(lines) {
  const list = of("events");
  of("calm").hidden = lines.length > 0;
  const last = lines.length ? `${lines.length} ${lines.at(-1).at}` : "";
  if (list.dataset.last === last) {
    return;
  }
  list.dataset.last = last;
  list.replaceChildren(
    ...lines.toReversed().map(({ at, text }) => {
      const line = document.createElement("li");
      const time = document.createElement("time");
      const when = new Date(at * 1000);
      time.dateTime = when.toISOString();
      time.textContent = when.toLocaleTimeString();
      line.append(time, text);
      return line;
    }),
  );
}

function banner() {
  const away = { infrared: "Infrared is away: the visible picture alone", visible: "Visible is away: the picture stands still" };
  const lost = ["visible", "infrared"].find((side) => states[side] === "lost" || states[side] === "silent");
  const text = isPaused ? "Paused" : !isReached && number ? "No connection: this is the last picture" : lost ? away[lost] : "";
  of("banner").textContent = text;
  of("banner").hidden = !text;
  of("banner").classList.toggle("calm", isPaused);
}

function pause() {
  isPaused = !isPaused;
  of("pause").textContent = isPaused ? "Go on" : "Pause";
  banner();
}

async function save() {
  if (of("save").disabled) {
    return;
  }
  let content = null;
  let name = "fused.png";
  if (isPaused) {
    content = await new Promise((resolve) => view.toBlob(resolve)); // what is seen, not what came since
  } else {
    const answer = await asked("/v1/live/picture.png").catch(() => null);
    if (!answer?.ok) {
      told("The picture could not be fetched.");
      return;
    }
    name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? name;
    content = await answer.blob();
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function full() {
  if (document.fullscreenElement) {
    document.exitFullscreen();
  } else {
    of("stage").requestFullscreen?.().catch(() => told("This browser does not fill the screen."));
  }
}

of("pause").addEventListener("click", pause);
of("save").addEventListener("click", save);
of("full").addEventListener("click", full);
of("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = of("token").value.trim();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) {
    return;
  }
  const does = { s: save, f: full, " ": event.target.closest("button, a") ? null : pause }[event.key.toLowerCase()];
  if (does) {
    event.preventDefault();
    does();
  }
});

pictures();
figures();
