// One stream in full.

import { at, now, age, clock, hours, el, plural, put } from "./format.js";
import { get, streamPath } from "./api.js";
import { next, hold, tag, why, trouble, encoderText, standbyText, viewersText, onAir, pictureTime, modeLabel } from "./rows.js";
import { ask } from "./hold.js";
import * as timeline from "./timeline.js";

const dialog = document.getElementById("detail");
const byID = (id) => document.getElementById(id);
const logEvery = 2_000;
let s = null, logTimer = null, changed = () => {};

export function shown() { return dialog.open ? s : null; }

// open shows a stream; onChange gets what a button changed.
export function open(stream, onChange) {
  s = stream;
  changed = onChange;
  byID("log").textContent = "";
  byID("log-encoder").replaceChildren(...s.encoders.map((e) => el("option", { value: e.name, textContent: e.name })));
  byID("log-pick").hidden = s.encoders.length < 2;
  if (!dialog.open) dialog.showModal();
  byID("detail-name").focus();
  dialog.querySelector(".drawer-body").scrollTop = 0;
  fill();
  picture();
  steps();
  tail();
}

export function update(stream) {
  if (!dialog.open || !s || stream.id !== s.id) return;
  const moved = stream.phase !== s.phase;
  s = stream;
  fill();
  if (moved) { steps(); picture(); }
}

export function tick() {
  if (!dialog.open || !s) return;
  put(dialog.querySelector(".act"), next(s));
  put(dialog.querySelector(".hold"), hold(s));
  facts();
}

export function drawLine() {
  if (dialog.open && s) line();
}

function fill() {
  put(byID("detail-name"), s.name);
  put(byID("detail-account"), `in account ${s.account}`);
  const phase = dialog.querySelector(".lead .phase");
  put(phase, s.phase);
  phase.className = `phase p-${s.phase}`;
  put(dialog.querySelector(".lead .tag"), tag(s));
  put(dialog.querySelector(".lead .why"), why(s));
  put(dialog.querySelector(".lead .trouble"), trouble(s));
  byID("detail-picture").classList.toggle("old", !onAir(s));
  for (const b of dialog.querySelectorAll(".lead [data-mode]")) {
    b.setAttribute("aria-pressed", String(b.dataset.mode === s.mode));
    b.setAttribute("aria-label", modeLabel(s, b.dataset.mode));
  }
  encoders();
  const v = s.savings;
  list(byID("savings"), {
    "Encoder time run": hours(v.run_s),
    "Watched": hours(v.watched_s),
    "Avoided encoder time": hours(v.avoided_s) + share(v.avoided_s, v.run_s),
    "Nobody joined": `${v.wasted_starts} of ${plural(Math.max(v.wakes, v.wasted_starts), "wake", "wakes")}`,
    "Counted since": clock(at(v.since)),
  });
  tick();
}

function share(part, rest) { return part + rest > 0 ? ` (${Math.round((100 * part) / (part + rest))} %)` : ""; }

function facts() {
  list(byID("facts"), {
    [`In phase ${s.phase}`]: `for ${age(now() - at(s.since))}, since ${clock(at(s.since), true)}`,
    "Viewers": viewersText(s),
    "Wanted by": s.demand.length ? s.demand.map((l) => `${l.by} for ${age(Math.max(0, at(l.until) - now()))} more`).join(", ") : "nobody else",
    "Last viewer attempt": s.last_attempt ? `${age(now() - at(s.last_attempt))} ago` : "none yet",
    "Wait until live": waits(s.waits, "live_s"),
    "Wait until the first viewer": waits(s.waits, "viewer_s"),
    "Feeds": s.feeds.length ? s.feeds.map((f) => f.source_id || f.id).join(", ") : "none",
    "Encoder starts": s.starts,
    "Live for": s.uptime_s > 0 ? age(s.uptime_s * 1000) : "–",
  });
}

function waits(w, key) {
  const text = (s) => s === null ? "–" : `${s.toFixed(1)} s`;
  return w ? `${text(w.last[key])}, typically ${text(w.typical[key])} of ${w.of}` : "nobody has waited";
}

// list fills a description list and changes only texts that differ.
function list(dl, entries) {
  const keys = Object.keys(entries);
  if (dl.children.length !== keys.length) {
    dl.replaceChildren(...keys.map((k) => el("div", {}, el("dt", { textContent: k }), el("dd"))));
  }
  keys.forEach((k, i) => {
    put(dl.children[i].firstElementChild, k);
    put(dl.children[i].lastElementChild, entries[k]);
  });
}

function encoders() {
  byID("encoders").replaceChildren(...s.encoders.map((e) => {
    const h = e.health || {};
    const more = [
      e.cover ? "the cover" : null,
      e.on_air && s.encoders.length > 1 ? "on the air" : null,
      `driver ${e.driver}`,
      e.pid ? `process ${e.pid}` : null,
      h.frames ? `${h.frames.toLocaleString("en")} frames` : null,
      h.speed ? `speed ${h.speed.toFixed(2)}×` : null,
      h.congestion ? `congestion ${Math.round(h.congestion * 100)} %` : null,
    ].filter(Boolean).join(" · ");
    return el("div", { class: "encoder-card" },
      el("p", {}, el("strong", { textContent: e.name }), ` ${encoderText(e)}`),
      el("p", { class: "dim", textContent: more }),
      e.standby ? el("p", { class: e.standby.ready ? "dim" : "trouble", textContent: standbyText(e) }) : null,
      e.warning ? el("p", { class: "trouble", textContent: `warning: ${e.warning}` }) : null,
      e.error ? el("p", { class: "trouble", textContent: e.error }) : null);
  }));
}

function picture() {
  const img = byID("detail-picture"), mine = s.id;
  img.alt = `Last thumbnail of ${s.name}`;
  img.src = `${streamPath(s.id)}/thumbnail?missing=204&t=${Date.now()}`;
  pictureTime(img.src).then((t) => {
    if (s && mine === s.id && t) put(byID("detail-taken"), `Last picture, taken ${clock(t, true)}`);
  });
}

export function newPicture(id) { if (dialog.open && s && id === s.id) picture(); }

async function steps() {
  const mine = s.id, span = Number(byID("span").value);
  try {
    const [history] = await Promise.all([
      get(`${streamPath(mine)}/history?limit=50&fold=true`), timeline.load(s, span)]);
    if (!dialog.open || mine !== s.id) return;
    line();
    byID("history").replaceChildren(...history.map((t) => el("li", {},
      el("time", { dateTime: t.at, textContent: clock(at(t.at), true) }),
      el("span", { class: `phase small p-${t.to}`, textContent: t.to }),
      el("span", { textContent: folded(t) }),
      el("span", { class: "dim", textContent: [t.event, t.encoder].filter(Boolean).join(" · ") }))));
  } catch (e) {
    byID("history").replaceChildren(el("li", { class: "trouble", textContent: e.message }));
  }
}

// folded is the reason of a step, which may stand for a failure that repeated.
function folded(t) {
  if (!(t.count > 1)) return t.reason;
  return t.reason.replace(/^failed: /, () => `failed ${t.count} times since ${clock(at(t.first), true)}: `);
}

function line() {
  const span = Number(byID("span").value), end = now();
  timeline.draw(byID("detail-timeline"), s.id, span, true);
  const tick = (part) => el("span", { textContent: part ? clock(end - part * span * 3600_000) : "now" });
  byID("ticks").replaceChildren(...[1, 0.75, 0.5, 0.25, 0].map(tick));
}

async function tail() {
  clearTimeout(logTimer);
  if (!dialog.open) return;
  const box = byID("log"), mine = s.id, encoder = byID("log-encoder").value;
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 30;
  try {
    const only = encoder ? `&encoder=${encodeURIComponent(encoder)}` : "";
    const text = await get(`${streamPath(mine)}/log?lines=200${only}`);
    if (mine !== s.id) return;
    if (put(box, text || "nothing yet") || atEnd) box.scrollTop = box.scrollHeight;
  } catch (e) {
    if (mine === s.id) put(box, e.message);
  }
  if (dialog.open && byID("follow").checked && !document.hidden) logTimer = setTimeout(tail, logEvery);
}

byID("legend").replaceChildren(...timeline.phaseOrder.map((p) =>
  el("li", {}, el("span", { class: `key p-${p}`, "aria-hidden": "true" }), p)));
byID("detail-picture").addEventListener("error", (e) => { e.target.parentElement.hidden = true; });
byID("detail-picture").addEventListener("load", (e) => { e.target.parentElement.hidden = false; });
byID("span").addEventListener("change", steps);
byID("log-encoder").addEventListener("change", tail);
byID("follow").addEventListener("change", tail);
document.addEventListener("visibilitychange", () => { if (!document.hidden && dialog.open) tail(); });
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  clearTimeout(logTimer);
  if (location.hash) history.replaceState(null, "", location.pathname);
});
for (const b of dialog.querySelectorAll(".lead [data-mode]")) {
  b.addEventListener("click", () => ask(s, b.dataset.mode, changed));
}
