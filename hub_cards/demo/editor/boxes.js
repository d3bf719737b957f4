// A photo whose people are marked with boxes [x, y, width, height] in its pixels: by dragging, by two taps on opposite
// corners, or by keyboard. `props.value` holds the boxes and the photo that they are of, `props.view` its picture; "edit"
// is triggered by the user alone, never by a value from the server.
const TAP = 8; // CSS pixels that a finger may slip
const HANDLE = 7; // CSS pixels, half a handle's side
const PATIENCE = 400; // milliseconds without a further key until a moved box counts
const START = "Drag a box around each person, or tap two opposite corners.";

const stage = element.querySelector(".stage");
const image = element.querySelector("img");
const canvas = element.querySelector("svg");
const tools = element.querySelector(".tools");
const hint = element.querySelector(".hint");
const button = (name) => tools.querySelector(`[data-do=${name}]`);

let boxes = []; // those shown
let history = []; // those before each change
let selected = -1; // number of the box that is moved or removed
let corner = null; // the first of two taps [x, y]
let drag = null; // what a pressed pointer does
let photo = null; // which one is shown
let isFresh = true; // until its first boxes come
let timer = 0;

const copy = (list) => list.map((box) => [...box]);
const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
const scale = () => props.view.width / (canvas.clientWidth || 1); // photo pixels in one of CSS

function toPhoto(event) {
  const frame = canvas.getBoundingClientRect();
  const x = ((event.clientX - frame.left) / frame.width) * props.view.width;
  const y = ((event.clientY - frame.top) / frame.height) * props.view.height;
  return [clamp(Math.round(x), 0, props.view.width), clamp(Math.round(y), 0, props.view.height)];
}

function between(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
}

function inside([x, y, width, height]) {
  const side = [clamp(width, 1, props.view.width), clamp(height, 1, props.view.height)];
  return [clamp(x, 0, props.view.width - side[0]), clamp(y, 0, props.view.height - side[1]), ...side];
}

function draw(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return parent.appendChild(made);
}

function drawBox(box, number) {
  const [x, y, width, height] = box;
  const label = `Box ${number + 1}: x ${x}, y ${y}, width ${width}, height ${height}`;
  const attributes = { tabindex: 0, role: "button", "aria-label": label, "data-box": number };
  const group = draw("g", { ...attributes, class: number === selected ? "selected" : "" }, canvas);
  for (const kind of ["outline", "line"]) draw("rect", { x, y, width, height, class: kind }, group);
  if (number !== selected) return;
  const half = HANDLE * scale();
  for (const [right, bottom] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
    const middle = [x + right * width, y + bottom * height];
    const place = { x: middle[0] - half, y: middle[1] - half, width: 2 * half, height: 2 * half };
    // what stays where it is while this corner is dragged
    const fixed = `${x + (1 - right) * width} ${y + (1 - bottom) * height}`;
    draw("rect", { ...place, class: "handle", "data-fixed": fixed }, group);
  }
}

function show(text) {
  const focused = canvas.contains(document.activeElement);
  canvas.replaceChildren();
  boxes.forEach(drawBox);
  if (corner) draw("circle", { cx: corner[0], cy: corner[1], r: HANDLE * scale(), class: "corner" }, canvas);
  if (drag && drag.box) draw("rect", { ...asRect(drag.box), class: "line" }, canvas);
  if (focused && selected >= 0) canvas.querySelector(`[data-box="${selected}"]`).focus({ preventScroll: true });
  button("undo").disabled = !history.length;
  button("remove").disabled = selected < 0;
  hint.textContent = text || (corner ? "Now tap the opposite corner." : START);
}

function asRect([x, y, width, height]) {
  return { x, y, width, height };
}

function tell() {
  clearTimeout(timer);
  props.value = { photo, boxes: copy(boxes) };
  trigger("edit");
}

function change(next, number, late) {
  history.push(copy(boxes));
  [boxes, selected, corner] = [next, number, null];
  show();
  clearTimeout(timer);
  if (late) timer = setTimeout(tell, PATIENCE);
  else tell();
}

const replaced = (number, box) => boxes.map((own, index) => (index === number ? inside(box) : own));

function add(box) {
  if (box[2] > 0 && box[3] > 0) change([...boxes, box], boxes.length);
  else show();
}

function remove() {
  if (selected >= 0) change(boxes.filter((_, number) => number !== selected), -1);
}

function undo() {
  if (!history.length) return;
  [boxes, selected, corner] = [history.pop(), -1, null];
  show();
  tell();
}

function addInMiddle() {
  const { width, height } = props.view;
  add([Math.round(0.3 * width), Math.round(0.15 * height), Math.round(0.4 * width), Math.round(0.7 * height)]);
  canvas.querySelector(`[data-box="${selected}"]`).focus({ preventScroll: true });
}

function press(event) {
  if (!props.view.editable || !event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  const group = event.target.closest("[data-box]");
  const touched = group ? Number(group.dataset.box) : -1;
  drag = { from: toPhoto(event), at: [event.clientX, event.clientY], touched, number: -1, box: null };
  if (event.target.dataset.fixed) {
    Object.assign(drag, { number: selected, fixed: event.target.dataset.fixed.split(" ").map(Number) });
  } else if (touched === selected && touched >= 0) {
    Object.assign(drag, { number: selected, origin: boxes[selected] });
  }
}

function move(event) {
  if (!drag) return;
  const to = toPhoto(event);
  drag.far = drag.far || Math.hypot(event.clientX - drag.at[0], event.clientY - drag.at[1]) >= TAP;
  if (!drag.far) return;
  if (drag.origin) {
    const [x, y, width, height] = drag.origin;
    drag.box = inside([x + to[0] - drag.from[0], y + to[1] - drag.from[1], width, height]);
  } else {
    drag.box = between(drag.fixed || drag.from, to);
  }
  show();
}

function release(event) {
  if (!drag) return;
  const done = drag;
  drag = null;
  if (done.far && done.number >= 0) change(replaced(done.number, done.box), done.number);
  else if (done.far) add(done.box);
  else if (corner) add(between(corner, done.from));
  else {
    selected = done.touched;
    corner = done.touched < 0 ? done.from : null;
    show();
    if (selected >= 0) canvas.querySelector(`[data-box="${selected}"]`).focus({ preventScroll: true });
  }
}

function drop() {
  drag = corner = null;
  show();
}

function type(event) {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") {
    event.preventDefault();
    undo();
    return;
  }
  if (event.key === "Escape") drop();
  if (selected < 0) return;
  if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    remove();
  }
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!(event.key in ways)) return;
  event.preventDefault();
  const step = Math.max(1, Math.round(Math.max(props.view.width, props.view.height) / 200));
  const [dx, dy] = ways[event.key].map((way) => way * step);
  const [x, y, width, height] = boxes[selected];
  const next = event.shiftKey ? [x, y, width + dx, height + dy] : [x + dx, y + dy, width, height];
  change(replaced(selected, next), selected, true);
}

function focus(event) {
  const group = event.target.closest("[data-box]");
  if (!group || drag || Number(group.dataset.box) === selected) return;
  selected = Number(group.dataset.box);
  show();
}

function showView() {
  const { src, width, height, text, editable, key } = props.view;
  image.src = src;
  image.alt = text;
  image.hidden = !src;
  stage.style.width = `min(100%, calc(70vh * ${width / height}))`;
  stage.classList.toggle("editable", editable);
  tools.hidden = !editable;
  canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
  takeBoxes(key);
  show();
}

function takeBoxes(key) {
  if (key !== photo) [photo, isFresh, boxes, history, selected, corner, drag] = [key, true, [], [], -1, null, null];
  if (props.value.photo !== key) return; // those of another photo, which are on their way out
  const isOther = JSON.stringify(props.value.boxes) !== JSON.stringify(boxes);
  if (isOther && !isFresh) history.push(copy(boxes));
  if (isOther) [boxes, selected] = [copy(props.value.boxes), -1];
  isFresh = false;
}

canvas.addEventListener("pointerdown", press);
canvas.addEventListener("pointermove", move);
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", drop);
canvas.addEventListener("focusin", focus);
canvas.addEventListener("keydown", type);
button("undo").addEventListener("click", undo);
button("remove").addEventListener("click", remove);
button("add").addEventListener("click", addInMiddle);
new ResizeObserver(() => drag || show()).observe(stage);
watch(["view", "value"], showView);
showView();
