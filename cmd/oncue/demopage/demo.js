// The demo page: what viewers of the simulated platform see beside what the controller does.
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
  const seat = { root, img: root.querySelector("img"), dark: root.querySelector(".dark"), shown: 0, deadline: null, does: "" };
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

async function picture(seat, name) {
  const res = await fetch(`/api/v1/streams/${encodeURIComponent("DEMO/" + name)}/thumbnail`, { cache: "no-store" });
  if (!res.ok || !seat.live) return;
  const url = URL.createObjectURL(await res.blob());
  seat.img.onload = () => URL.revokeObjectURL(url);
  seat.img.src = url;
  seat.img.alt = `picture of ${name}`;
  seat.img.hidden = false;
  seat.dark.hidden = true;
}

function showMachine(v) {
  const seat = seatFor(v.name);
  seat.root.dataset.phase = v.phase;
  seat.root.querySelector(".phase b").textContent = v.phase;
  seat.root.querySelector(".why").textContent = v.reason;
  seat.deadline = v.deadline && new Date(v.deadline);
  seat.does = v.deadline_does;
}

function countDown() {
  for (const seat of seats.values()) {
    const left = seat.deadline ? Math.max(0, Math.round((seat.deadline - Date.now()) / 1000)) : null;
    seat.root.querySelector(".next").textContent = left === null ? "" : `${seat.does} in ${left} s`;
  }
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
