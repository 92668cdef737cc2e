"use strict";
const form = document.querySelector(".filters");
const faces = [...document.querySelectorAll(".face")];

function fits(face, wanted) {
  const { status, given, predicted, confidence } = face.dataset;
  return (!wanted.status || wanted.status === status)
    && (!wanted.given || wanted.given === given)
    && (!wanted.predicted || wanted.predicted === predicted)
    && confidence >= Number(wanted.from) && confidence <= Number(wanted.to);
}

function filter() {
  const wanted = Object.fromEntries(new FormData(form));
  let shown = 0;
  for (const face of faces) {
    face.hidden = !fits(face, wanted);
    shown += !face.hidden;
  }
  for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".face:not([hidden])");
  for (const part of document.querySelectorAll(".method")) part.hidden = Boolean(wanted.method) && part.dataset.method !== wanted.method;
  document.body.style.setProperty("--opacity", (wanted.opacity ?? 60) / 100);
  form.elements.low.value = wanted.from;
  form.elements.high.value = wanted.to;
  document.querySelector(".count").textContent = `${shown} of ${faces.length} faces`;
  document.querySelector(".none").hidden = shown > 0;
  sort(wanted.order);
}

function sort(order) {
  const sign = order === "up" ? 1 : -1;
  for (const gallery of document.querySelectorAll(".gallery")) {
    if ((gallery.dataset.order ?? "down") === order) continue;
    gallery.dataset.order = order;
    gallery.append(...[...gallery.children].sort((a, b) => sign * (a.dataset.confidence - b.dataset.confidence)));
  }
}

function reveal() {
  const face = /^#f\d+$/.test(location.hash) && document.querySelector(location.hash);
  if (!face?.hidden) return;
  form.reset();
  setTimeout(() => face.scrollIntoView());
}

form.addEventListener("input", (event) => {
  const { from, to } = form.elements;
  if (Number(from.value) > Number(to.value)) (event.target === from ? to : from).value = event.target.value;
  filter();
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
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
