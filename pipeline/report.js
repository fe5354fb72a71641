// "Look closely": two layers of one picture under a slider, zoom and pan in step, a gallery that sorts, and a link to every state.
const study = JSON.parse(document.getElementById("study").textContent);
const number = value => value === "inf" ? Infinity : value === "-inf" ? -Infinity : Number(value);
const at = id => document.getElementById(id);
const stage = at("stage"), over = at("over"), under = at("under");
const first = {picture: study.pictures[0].name, left: study.layers[0], right: study.layers.at(-1), split: "50", zoom: "1", x: "0", y: "0",
  sort: "name"};
let state = {...first, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1)))};

function fill(select, values) {
  select.replaceChildren(...values.map(value => new Option(value, value)));
}

function order() {
  const key = picture => {
    const score = layer => (picture.scores[layer] ?? {})[state.sort];
    if (state.sort === "name") return 0;
    if (state.sort === "difference") {
      const of = layer => (picture.scores[layer] ?? {})[study.metrics[0]];
      return number(of(state.right)) - number(of(state.left)) || 0;
    }
    return number(score(state.left) ?? score(state.right)) || 0;
  };
  return [...study.pictures].sort((a, b) => key(a) - key(b));
}

function draw() {
  const picture = study.pictures.find(one => one.name === state.picture) ?? study.pictures[0];
  for (const [id, image] of [["left", over], ["right", under]]) {
    const layer = study.layers.includes(state[id]) ? state[id] : first[id];
    if (image.getAttribute("src") !== picture.layers[layer]) image.src = picture.layers[layer];
    image.alt = `${picture.name}, ${layer}`;
    image.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
    at(id).value = layer;
  }
  over.parentElement.style.clipPath = `inset(0 ${100 - state.split}% 0 0)`;
  stage.style.setProperty("--split", `${state.split}%`);
  for (const id of ["picture", "split", "zoom", "sort"]) at(id).value = state[id];
  const text = layer => Object.entries(picture.scores[layer] ?? {}).map(([name, value]) => `${name} ${number(value).toFixed(4)}`).join(", ");
  at("said").textContent = [state.left, state.right].map(layer => `${layer}: ${text(layer) || "original"}`).join(" | ");
  at("gallery").replaceChildren(...order().map(one => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = one.name;
    button.setAttribute("aria-pressed", String(one.name === picture.name));
    button.onclick = () => change({picture: one.name});
    return button;
  }));
}

function change(part) {
  state = {...state, ...part};
  history.replaceState(null, "", "#" + new URLSearchParams(state));
  draw();
}

fill(at("picture"), study.pictures.map(one => one.name));
fill(at("left"), study.layers);
fill(at("right"), study.layers);
fill(at("sort"), ["name", "difference", ...study.metrics]);
for (const id of ["picture", "left", "right", "split", "zoom", "sort"]) at(id).oninput = event => change({[id]: event.target.value});
at("reset").onclick = () => change(first);
addEventListener("hashchange", () => {
  state = {...first, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1)))};
  draw();
});

stage.onkeydown = event => {
  const steps = {ArrowLeft: ["split", -2], ArrowRight: ["split", 2], "+": ["zoom", 1], "-": ["zoom", -1]};
  if (!steps[event.key]) return;
  event.preventDefault();
  const [name, step] = steps[event.key], range = at(name);
  change({[name]: String(Math.min(range.max, Math.max(range.min, Number(state[name]) + step)))});
};
stage.onpointerdown = event => {
  stage.setPointerCapture(event.pointerId);
  const start = {x: event.clientX - state.x, y: event.clientY - state.y};
  stage.onpointermove = move => change({x: String(Math.round(move.clientX - start.x)), y: String(Math.round(move.clientY - start.y))});
};
stage.onpointerup = stage.onpointercancel = () => stage.onpointermove = null;
draw();
