// The page: two slots hold one face each (a latent id, and the photo if it came from one);
// morph and colorize use both. Everything shown comes from the public API.
const COLORS = ["#4c6ef5", "#15aabf", "#40c057", "#fab005", "#fd7e14", "#e64980", "#be4bdb", "#868e96"];
const slots = {};
const key = document.querySelector("#key");
const element = (root, name) => root.querySelector(`[name=${name}]`);

// The API key, if the service requires one; it is stored only in its input field.
const authorization = () => (key.value ? { Authorization: `Bearer ${key.value}` } : {});

async function call(path, body, accept = "application/json") {
  const json = !(body instanceof FormData);
  const headers = { Accept: accept, ...(json && { "Content-Type": "application/json" }), ...authorization() };
  const answer = await fetch(path, { method: "POST", headers, body: json ? JSON.stringify(body) : body });
  if (answer.ok) return accept === "application/json" ? answer.json() : answer.blob();
  const problem = await answer.json().catch(() => ({ title: `error ${answer.status}` }));
  throw new Error(answer.status < 500 ? problem.detail : `${problem.title} (${problem.request_id})`);
}

// Run `work` while `root` looks busy; only the latest run of a root may show its result.
async function busy(root, work) {
  const note = root.querySelector(".note");
  const turn = (root.turn = (root.turn ?? 0) + 1);
  root.classList.add("busy");
  try {
    const show = await work();
    if (root.turn !== turn) return;
    note.textContent = "";
    show();
  } catch (error) {
    if (root.turn !== turn) return;
    note.textContent = error.message;
    note.classList.add("bad");
  }
  root.classList.remove("busy");
}

function showBlob(img, blob) {
  URL.revokeObjectURL(img.src);
  img.src = URL.createObjectURL(blob);
  img.hidden = false;
}

// Draw the square whose corners (top left, bottom left, bottom right, top right) are `quad`.
function drawCrop(canvas, bitmap, quad) {
  const { width, height } = bitmap;
  const [[x, y], down, , across] = quad ?? [[0, 0], [0, height], [width, height], [width, 0]];
  const [ux, uy] = [(across[0] - x) / canvas.width, (across[1] - y) / canvas.width];
  const [vx, vy] = [(down[0] - x) / canvas.height, (down[1] - y) / canvas.height];
  const det = ux * vy - vx * uy;
  const [a, b, c, d] = [vy / det, -uy / det, -vx / det, ux / det];
  const context = canvas.getContext("2d");
  context.resetTransform();
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(a, b, c, d, -(a * x + c * y), -(b * x + d * y));
  context.drawImage(bitmap, 0, 0);
}

function showFigures(list, quality) {
  const figures = { "PSNR dB": quality.psnr?.toFixed(1) ?? "∞", SSIM: quality.ssim.toFixed(3), [quality.lpips_net]: quality.lpips.toFixed(3) };
  // Null if the service has no recogniser.
  if (quality.identity_similarity != null) {
    figures[quality.same_person ? "identity: same person" : "identity: not the same person"] = quality.identity_similarity.toFixed(3);
  }
  list.replaceChildren(...Object.entries(figures).map(([name, value]) => {
    const row = document.createElement("div");
    const [term, figure] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    figure.textContent = value;
    row.append(term, figure);
    return row;
  }));
}

function showTimes(box, timings) {
  const { total, ...stages } = timings;
  box.querySelector(".bar").replaceChildren(...Object.entries(stages).map(([stage, ms], index) => {
    const part = document.createElement("div");
    Object.assign(part.style, { flexGrow: ms, background: COLORS[index % COLORS.length] });
    part.title = `${stage} ${ms} ms`;
    return part;
  }));
  const text = Object.entries(stages).filter(([, ms]) => ms >= 0.5).map(([stage, ms]) => `${stage} ${ms.toFixed(0)}`);
  box.querySelector("p").textContent = `${total.toFixed(0)} ms: ${text.join(", ")}`;
}

function fill(root, answer, bitmap) {
  slots[root.dataset.slot] = { latent_id: answer.latent_id, file: root.file };
  const [photo, rendering] = root.querySelectorAll("figure");
  photo.hidden = !bitmap;
  if (bitmap) drawCrop(photo.querySelector("canvas"), bitmap, answer.face?.quad);
  rendering.querySelector("img").src = `data:${answer.image.media_type};base64,${answer.image.data}`;
  rendering.querySelector("figcaption").textContent = bitmap ? "reconstruction" : "random face";
  const figures = root.querySelector(".figures");
  figures.hidden = !answer.quality;
  if (answer.quality) showFigures(figures, answer.quality);
  showTimes(root.querySelector(".times"), answer.timings_ms);
  for (const part of root.querySelectorAll(".pair, .times, .files")) part.hidden = false;
  refresh();
}

function takePhoto(root, file) {
  return busy(root, async () => {
    const form = new FormData();
    form.append("image", file);
    const answer = await call("embed?return=image", form);
    const bitmap = await createImageBitmap(file);
    return () => { root.file = file; fill(root, answer, bitmap); };
  });
}

function invent(root) {
  return busy(root, async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const answer = await call("generate", { seed, return: "image" });
    return () => { root.file = null; fill(root, answer, null); };
  });
}

async function download(root, type, suffix) {
  await busy(root, async () => {
    const { latent_id } = slots[root.dataset.slot];
    const blob = await call("generate", { latent_id }, type);
    return () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `face.${suffix}`;
      link.click();
      URL.revokeObjectURL(link.href);
    };
  });
}

function setUpSlot(root) {
  root.append(document.querySelector("#slot").content.cloneNode(true));
  root.querySelector("h2").textContent = root.dataset.slot.toUpperCase();
  const drop = root.querySelector(".drop");
  const input = drop.querySelector("input");
  input.onchange = () => input.files[0] && takePhoto(root, input.files[0]);
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) takePhoto(root, event.dataTransfer.files[0]);
  };
  element(root, "draw").onclick = () => invent(root);
  element(root, "npy").onclick = () => download(root, "application/x-npy", "npy");
  element(root, "safetensors").onclick = () => download(root, "application/vnd.safetensors", "safetensors");
  element(root, "png").onclick = () => download(root, "image/png", "png");
}

const morphTool = document.querySelector("#morph");
const colorTool = document.querySelector("#colorize");

function morph(steps) {
  return busy(morphTool, async () => {
    const sources = [slots.a, slots.b].map(({ latent_id }) => ({ latent_id }));
    const how = steps ? { steps } : { lam: Number(element(morphTool, "lam").value) };
    const blob = await call("morph", { sources, ...how }, steps ? "image/webp" : "image/jpeg");
    return () => showBlob(morphTool.querySelector("img"), blob);
  });
}

function colorize() {
  return busy(colorTool, async () => {
    const form = new FormData();
    const keep = element(colorTool, "keep_luminance").checked;
    form.append("gray", keep && slots.a.file ? slots.a.file : slots.a.latent_id);
    form.append("color", slots.b.latent_id);
    form.append("keep_luminance", keep);
    for (const name of ["strength", "first_row"]) form.append(name, element(colorTool, name).value);
    const blob = await call("colorize", form, "image/jpeg");
    return () => showBlob(colorTool.querySelector("img"), blob);
  });
}

function refresh() {
  const open = Boolean(slots.a && slots.b);
  for (const tool of [morphTool, colorTool]) {
    tool.classList.toggle("open", open);
    if (!open) tool.querySelector(".note").textContent = "Choose a photo or a random face for both A and B.";
  }
  if (open) { morph(); colorize(); }
}

async function watch() {
  const state = document.querySelector("#state");
  try {
    const answer = await fetch("version", { headers: authorization() });
    if (answer.status === 401) key.hidden = false;
    const { ready, generator, detail } = await answer.json();
    state.className = ready ? "ready" : "";
    state.textContent = ready ? generator : detail ?? "loading weights";
    setTimeout(watch, ready ? 30000 : 1500);
  } catch {
    state.className = "down";
    state.textContent = "not reachable";
    setTimeout(watch, 3000);
  }
}

document.querySelectorAll(".slot").forEach(setUpSlot);
for (const input of document.querySelectorAll(".tool input[type=range]")) {
  const output = input.parentElement.querySelector("output");
  input.oninput = () => { output.textContent = input.step === "1" ? input.value : Number(input.value).toFixed(2); };
  input.onchange = () => (input.closest("#morph") ? morph() : colorize());
}
element(colorTool, "keep_luminance").onchange = colorize;
element(morphTool, "animate").onclick = () => morph(Number(element(morphTool, "steps").value));
refresh();
watch();
