// A wall of faces from one sprite sheet. Every word goes in as text, never as HTML.
const pictures = new Map();
const places = new WeakMap();

function picture(uri) {
  if (!uri) return Promise.resolve(null);
  if (!pictures.has(uri)) {
    if (pictures.size > 12) pictures.delete(pictures.keys().next().value);
    const image = new Image();
    image.src = uri;
    pictures.set(uri, image.decode().then(() => image));
  }
  return pictures.get(uri);
}

function element(kind, words) {
  const made = document.createElement(kind);
  made.textContent = words;
  return made;
}

function tile([first, second, spoken], index, chosen) {
  const face = document.createElement("div");
  face.className = "face";
  face.id = `face-${index}`;
  face.setAttribute("role", "option");
  face.setAttribute("aria-label", spoken);
  face.setAttribute("aria-selected", String(index === chosen));
  face.title = spoken;
  face.append(document.createElement("canvas"), element("b", first), element("span", second));
  return face;
}

function cut(sheet, index, columns, count) {
  const rows = Math.ceil(count / columns);
  const width = sheet.naturalWidth / columns;
  const height = sheet.naturalHeight / rows;
  return [sheet, (index % columns) * width, Math.floor(index / columns) * height, width, height];
}

function draw(canvas, index, data, faces, maps, peek) {
  const [high, wide] = data.tile;
  const beside = data.mode === "beside" && maps;
  canvas.width = beside ? 2 * wide : wide;
  canvas.height = high;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  const face = cut(faces, index, data.columns, data.captions.length);
  pen.drawImage(...face, 0, 0, wide, high);
  if (beside) pen.drawImage(...face, wide, 0, wide, high);
  if (maps && !peek) pen.drawImage(...cut(maps, index, data.columns, data.captions.length), beside ? wide : 0, 0, wide, high);
}

function moves(wall, active, count) {
  const across = getComputedStyle(wall).gridTemplateColumns.split(" ").length;
  return {
    ArrowLeft: active - 1, ArrowRight: active + 1, ArrowUp: active - across, ArrowDown: active + across,
    Home: 0, End: count - 1,
  };
}

export default function ({ data, parentElement, setTriggerValue }) {
  const wall = parentElement.querySelector(".wall");
  const hint = parentElement.querySelector(".hint");
  const count = data.captions.length;
  const known = places.get(parentElement);
  let active = known && known.set === data.set ? Math.min(known.active, count - 1) : Math.max(0, data.chosen);
  const listening = new AbortController();
  const on = (name, react) => wall.addEventListener(name, react, { signal: listening.signal });

  wall.setAttribute("aria-label", data.label);
  wall.style.setProperty("--least", `${data.mode === "beside" && data.maps ? 172 : 84}px`);
  wall.style.setProperty("--tallest", `${data.height}px`);
  wall.style.setProperty("--accent", data.accent);
  const above = known && known.set === data.set ? wall.scrollTop : 0;
  wall.replaceChildren(...data.captions.map((words, index) => tile(words, index, data.chosen)));
  wall.scrollTop = above;
  hint.textContent = data.maps ? "Arrow keys move, Enter opens, hold Space to see the faces without maps." : "Arrow keys move, Enter opens.";

  let faces = null;
  let maps = null;
  let peek = false;
  const paint = () => {
    if (faces) wall.querySelectorAll("canvas").forEach((canvas, index) => draw(canvas, index, data, faces, maps, peek));
  };
  const hide = (wanted) => {
    peek = wanted;
    paint();
  };
  const go = (index, scroll) => {
    active = Math.max(0, Math.min(count - 1, index));
    places.set(parentElement, { active, set: data.set });
    wall.querySelectorAll(".active").forEach((face) => face.classList.remove("active"));
    const face = wall.children[active];
    if (!face) return;
    face.classList.add("active");
    wall.setAttribute("aria-activedescendant", face.id);
    if (scroll) face.scrollIntoView({ block: "nearest" });
  };
  const open = (index) => {
    go(index, false);
    setTriggerValue("picked", index);
  };

  on("click", (event) => {
    const face = event.target.closest(".face");
    if (face) open([...wall.children].indexOf(face));
  });
  on("keydown", (event) => {
    const next = moves(wall, active, count)[event.key];
    if (next === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    if (next !== undefined) go(next, true);
    else if (event.key === "Enter") open(active);
    else if (!event.repeat) hide(true);
  });
  on("keyup", (event) => { if (event.key === " ") hide(false); });
  on("blur", () => hide(false));

  go(active, false);
  let gone = false;
  Promise.all([picture(data.faces), picture(data.maps)]).then((sheets) => {
    if (gone) return;
    [faces, maps] = sheets;
    paint();
  });
  return () => { gone = true; listening.abort(); };
}
