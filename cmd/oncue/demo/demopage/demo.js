// The demo page: what viewers of the simulated platform see beside what the controller does.
import { next } from "/assets/rows.js";

const seats = new Map();
const said = document.getElementById("said");
const mute = document.getElementById("mute");

function seatFor(name) {
  if (seats.has(name)) return seats.get(name);
  const node = document.getElementById("seat").content.cloneNode(true);
  const root = node.querySelector(".seat");
  root.querySelector("h2").textContent = name;
  for (const b of root.querySelectorAll("button")) b.addEventListener("click", () => act(b.dataset.act, name));
  document.getElementById("seats").append(node);
  const seat = { root, img: root.querySelector("img"), dark: root.querySelector(".dark"), shown: 0, view: null };
  seats.set(name, seat);
  return seat;
}

async function act(what, name) {
  const res = await fetch(`/demo/${what}${name ? "/" + encodeURIComponent(name) : ""}`, { method: "POST" });
  const text = await res.text();
  said.textContent = res.ok ? JSON.parse(text).said : text.trim();
  look();
}

function showViewers(s) {
  const seat = seatFor(s.name);
  const parts = [];
  if (s.watching) parts.push(`${s.watching} watching`);
  if (s.waiting) parts.push(`${s.waiting} waiting in the dark`);
  if (s.dark) parts.push(`${s.dark} lost the picture`);
  seat.root.querySelector("figcaption").textContent = parts.join(", ") || "no viewers";
  seat.live = s.live;
  if (!s.live) {
    seat.img.hidden = true;
    seat.dark.hidden = false;
  } else if (Date.now() - seat.shown > 1900) {
    seat.shown = Date.now();
    picture(seat, s.name);
  }
}

// picture asks for the last thumbnail by its address: the pages' content policy allows no other source.
function picture(seat, name) {
  seat.img.onload = () => {
    if (!seat.live) return;
    seat.img.alt = `picture of ${name}`;
    seat.img.hidden = false;
    seat.dark.hidden = true;
  };
  seat.img.src = `/api/v1/streams/${encodeURIComponent("DEMO/" + name)}/thumbnail?missing=204&t=${Date.now()}`;
}

function showMachine(v) {
  const seat = seatFor(v.name);
  seat.root.dataset.phase = v.phase;
  seat.root.querySelector(".phase b").textContent = v.phase;
  seat.root.querySelector(".why").textContent = v.reason;
  seat.view = v;
}

function countDown() {
  for (const seat of seats.values()) seat.root.querySelector(".next").textContent = seat.view ? next(seat.view) : "";
}

async function look() {
  try {
    const state = await (await fetch("/demo/state", { cache: "no-store" })).json();
    state.seats.forEach(showViewers);
    mute.setAttribute("aria-pressed", state.hooks_stopped);
    mute.textContent = state.hooks_stopped ? "Let the platform send hooks again" : "Stop the platform's hooks";
  } catch {
    said.textContent = "the demo has ended";
  }
}

async function begin() {
  await look();
  const status = await (await fetch("/status")).json();
  status.streams.forEach(showMachine);
  const feed = new EventSource("/api/v1/watch");
  feed.addEventListener("stream", (e) => showMachine(JSON.parse(e.data)));
  mute.addEventListener("click", () => act("mute"));
  setInterval(look, 500);
  setInterval(countDown, 250);
}

begin();
