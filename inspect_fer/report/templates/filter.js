"use strict";
const form = document.querySelector(".filters");
const faces = [...document.querySelectorAll(".face")];
const FIRST = 24; // faces of a group at first, and more at a time
const NEXT = 60;

function fits(face, wanted) {
  const { status, given, predicted, confidence } = face.dataset;
  return (!wanted.status || wanted.status === status)
    && (!wanted.given || wanted.given === given)
    && (!wanted.predicted || wanted.predicted === predicted)
    && confidence >= Number(wanted.from) && confidence <= Number(wanted.to);
}

function filter() {
  const wanted = Object.fromEntries(new FormData(form));
  const shown = faces.filter((face) => fits(face, wanted)).length;
  for (const gallery of document.querySelectorAll(".gallery")) {
    sort(gallery, wanted.order);
    turn(gallery, wanted);
  }
  for (const part of document.querySelectorAll(".method")) part.hidden = Boolean(wanted.method) && part.dataset.method !== wanted.method;
  document.body.style.setProperty("--opacity", (wanted.opacity ?? 60) / 100);
  form.elements.low.value = wanted.from;
  form.elements.high.value = wanted.to;
  document.querySelector(".count").textContent = `${shown} of ${faces.length} faces`;
  document.querySelector(".none").hidden = shown > 0;
  advise(wanted);
}

function turn(gallery, wanted) {
  const fitting = [...gallery.children].filter((face) => fits(face, wanted));
  const room = Number(gallery.dataset.room ?? FIRST);
  for (const face of gallery.children) face.hidden = true;
  for (const face of fitting.slice(0, room)) face.hidden = false;
  const more = gallery.parentElement.querySelector(".more");
  more.hidden = fitting.length <= room;
  more.textContent = `Show ${Math.min(NEXT, fitting.length - room)} more of ${fitting.length - room}`;
  gallery.parentElement.hidden = !fitting.length;
}

function advise(wanted) {
  const left = document.querySelector(".left");
  if (!left) return;
  let count = 0;
  for (const [status, given, predicted, number, low, high] of JSON.parse(left.dataset.left)) {
    const face = { status, given, predicted, confidence: Math.min(high, Math.max(low, Number(wanted.from))) };
    count += fits({ dataset: face }, wanted) ? number : 0;
  }
  left.hidden = !count;
  left.querySelector("b").textContent = count.toLocaleString("en");
}

function sort(gallery, order) {
  if ((gallery.dataset.order ?? "down") === order) return;
  const sign = order === "up" ? 1 : -1;
  const explained = (face) => Number(face.dataset.explained ?? 0);
  gallery.dataset.order = order;
  gallery.append(...[...gallery.children].sort((a, b) => explained(b) - explained(a) || sign * (a.dataset.confidence - b.dataset.confidence)));
}

function begin() {
  for (const gallery of document.querySelectorAll(".gallery")) gallery.dataset.room = FIRST;
  filter();
}

function reveal() {
  const face = /^#f\d+$/.test(location.hash) && document.querySelector(location.hash);
  if (!face?.hidden) return;
  form.reset();
  setTimeout(() => {
    const gallery = face.parentElement;
    gallery.dataset.room = Math.max(FIRST, [...gallery.children].indexOf(face) + 1);
    filter();
    face.scrollIntoView();
  });
}

for (const more of document.querySelectorAll(".more")) {
  more.addEventListener("click", () => {
    const gallery = more.parentElement.querySelector(".gallery");
    gallery.dataset.room = Number(gallery.dataset.room ?? FIRST) + NEXT;
    filter();
  });
}

form.addEventListener("input", (event) => {
  const { from, to } = form.elements;
  if (Number(from.value) > Number(to.value)) (event.target === from ? to : from).value = event.target.value;
  (["method", "opacity"].includes(event.target.name) ? filter : begin)();
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(begin));
addEventListener("hashchange", reveal);

for (const button of document.querySelectorAll(".switch button")) {
  button.addEventListener("click", () => {
    document.querySelector(".matrix").dataset.by = button.dataset.by;
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
  });
}

const typing = (event) => event.target.closest("a, button, input, select, summary");
addEventListener("keydown", (event) => {
  if (event.code !== "Space" || typing(event)) return;
  event.preventDefault();
  document.body.classList.add("peek");
});
addEventListener("keyup", (event) => event.code === "Space" && document.body.classList.remove("peek"));

filter();
reveal();
