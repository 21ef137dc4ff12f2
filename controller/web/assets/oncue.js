// The dashboard: rows for all streams, the totals, the platform, and the hooks as they come.

import { at, now, setNow, age, clock, hours, el, isolate, put, plural } from "./format.js";
import { get, follow } from "./api.js";
import { Rows, inTrouble } from "./rows.js";
import { ask } from "./hold.js";
import * as detail from "./detail.js";
import * as timeline from "./timeline.js";

const byID = (id) => document.getElementById(id);
const streams = new Map();
const rows = new Rows({ open: openStream, ask: (s, mode) => ask(s, mode, changed) });
const keptHooks = 50;
const freshFor = 5 * 60_000; // for so long an answer of the platform shows that it works
let status = null, only = "all", lostSince = null;

function openStream(id) {
  const s = streams.get(id);
  if (!s) return;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  detail.open(s, changed);
}

function fromHash() {
  try {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id && streams.has(id) && (!detail.shown() || detail.shown().id !== id)) openStream(id);
  } catch { /* not the hash of a stream */ }
}

// changed shows a stream's new state.
function changed(s) {
  streams.set(s.id, s);
  rows.update(s);
  detail.update(s);
  soonSum();
}

async function load() {
  const began = Date.now();
  const [all, hooks] = await Promise.all([get("/status"), get(`/api/v1/events?limit=${keptHooks}`)]);
  setNow(at(all.now) + (Date.now() - began) / 2);
  streams.clear();
  timeline.forget();
  for (const s of all.streams) streams.set(s.id, s);
  rows.reset(all.streams);
  hookDelay(hooks[0]);
  glance(all);
  byID("hook-rows").replaceChildren(...hooks.map(hookRow));
  sum();
  if (detail.shown()) {
    const s = streams.get(detail.shown().id);
    if (s) detail.open(s, changed);
  } else fromHash();
}

function glance(all) {
  status = all;
  const v = all.savings, whole = v.run_s + v.avoided_s;
  put(byID("total-avoided"), hours(v.avoided_s));
  put(byID("share-avoided"), whole > 0 ? `${Math.round((100 * v.avoided_s) / whole)} %` : "");
  put(byID("total-run"), hours(v.run_s));
  put(byID("total-watched"), hours(v.watched_s));
  put(byID("share-watched"), v.run_s > 0 ? `${Math.round((100 * v.watched_s) / v.run_s)} %` : "");
  const wakes = Math.max(v.wakes, v.wasted_starts);
  put(byID("total-wasted"), `${v.wasted_starts.toLocaleString("en")} of ${wakes.toLocaleString("en")}`);
  put(byID("since"), v.since ? `since ${clock(at(v.since))}` : "");
  if (timeline.known(at(v.since))) rows.loadAll();
  put(byID("hint"), `timelines: last ${timeline.rowHours === 1 ? "hour" : `${timeline.rowHours} hours`}`);
  platform();
  helpers();
  alarm();
  return all.stream_count === streams.size; // no event says that a stream has left the configuration
}

// platform shows the state of the platform's side of each account, and of the clock. It keeps its
// elements and changes their texts.
function platform() {
  if (!status) return;
  const box = byID("platform");
  const lines = status.platform.map((a) => {
    const off = a.webhook && a.webhook.disabled;
    const facts = [a.last_hook ? `last hook ${age(now() - at(a.last_hook))} ago` : "no hook yet"];
    if (a.last_poll && !a.poll_error) facts.push(`last poll ${age(now() - at(a.last_poll))} ago`);
    if (a.webhook && !off) facts.push("webhook enabled");
    if (!a.last_poll && !a.poll_error) facts.push("no API secret: hooks are the only source");
    const trouble = [];
    if (off) trouble.push(`webhook disabled: ${isolate(off)}`);
    if (a.poll_error) trouble.push(`cannot ask the platform: ${isolate(a.poll_error)}`);
    const fresh = Boolean(a.last_poll) && now() - at(a.last_poll) < freshFor;
    return [a.account, facts.join(" · "), trouble.join("; "), fresh];
  });
  const late = delay !== null && Math.abs(delay) > 30_000;
  lines.push(["clock", delayText(), late ? "check the clocks" : "", delay !== null && !late]);
  list(box, lines);
}

// list shows lines of a name, facts, trouble, and whether all is well.
function list(box, lines) {
  while (box.children.length > lines.length) box.lastElementChild.remove();
  while (box.children.length < lines.length) {
    box.append(el("li", {}, el("strong"), el("span", { class: "dim" }), el("span", { class: "trouble" })));
  }
  lines.forEach(([name, facts, trouble, good], i) => {
    const line = box.children[i];
    [name, facts, trouble].forEach((text, j) => put(line.children[j], text));
    line.classList.toggle("good", good && !trouble);
    line.classList.toggle("bad", Boolean(trouble));
  });
}

// helpers shows what is on for encoders.
function helpers() {
  const all = status ? status.helpers : [];
  byID("helpers").hidden = all.length === 0;
  list(byID("helpers"), all.map((h) =>
    [h.name, `${h.state} · ${isolate(h.reason)}`, h.error ? isolate(h.error) : "", h.state === "on"]));
}

function helper(h) {
  const i = status ? status.helpers.findIndex((o) => o.name === h.name) : -1;
  if (i >= 0) status.helpers[i] = h;
  helpers();
}

let delay = null;

function hookDelay(h) { if (h && h.sent) delay = at(h.received) - at(h.sent); }

function delayText() {
  if (delay === null) return "no hook to compare with yet";
  if (Math.abs(delay) < 10_000) return `last hook came ${Math.round(delay)} ms after it was sent`;
  return `${age(Math.abs(delay))} ${delay > 0 ? "ahead of" : "behind"} the platform's, by the last hook`;
}

function alarm() {
  const alarms = [];
  if (lostSince !== null) {
    const since = age(Date.now() - lostSince);
    alarms.push(`Disconnected from the daemon for ${since}. This page shows an old state. Trying again.`);
  } else if (status) {
    if (!status.ready) alarms.push(`Hooks cannot be received: ${status.not_ready.map(isolate).join("; ")}`);
    alarms.push(...status.problems.map((p) => `Problem: ${isolate(p)}`));
  }
  put(byID("alarm"), alarms.join(". "));
  byID("alarm").hidden = alarms.length === 0;
}

// sum counts phases and viewers, at most a few times a second.
let sumTimer = null;
function soonSum() { if (!sumTimer) sumTimer = setTimeout(sum, 150); }

function sum() {
  sumTimer = null;
  const counts = {};
  let viewers = 0, known = false, held = 0, troubled = 0;
  for (const s of streams.values()) {
    counts[s.phase] = (counts[s.phase] || 0) + 1;
    if (s.mode !== "auto") held++;
    if (inTrouble(s)) troubled++;
    if (s.viewers !== null) { viewers += s.viewers; known = true; }
  }
  const live = (counts.live || 0) + (counts.lingering || 0);
  put(byID("total-live"), `${live} of ${streams.size.toLocaleString("en")}`);
  put(byID("total-viewers"), known ? viewers.toLocaleString("en") : "–");
  document.body.classList.toggle("one-account", new Set([...streams.values()].map((s) => s.account)).size < 2);
  const title = [troubled ? `${troubled} in trouble` : "", live ? `${live} live` : "", "oncue"];
  document.title = title.filter(Boolean).join(" · ");
  const phases = Object.fromEntries(timeline.phaseOrder.map((p) => [p, counts[p] || 0]));
  chips({ all: streams.size, trouble: troubled, ...phases, held });
  filter();
}

function chips(counts) {
  const box = byID("phases");
  for (const [name, n] of Object.entries(counts)) {
    let chip = box.querySelector(`[data-only="${name}"]`);
    if (!chip) {
      chip = el("button", { type: "button", class: `chip p-${name}` },
        el("span", { class: "word", textContent: name }), " ", el("b"));
      chip.dataset.only = name;
      chip.addEventListener("click", () => { only = only === name ? "all" : name; sum(); });
      box.append(chip);
    }
    put(chip.lastElementChild, n.toLocaleString("en"));
    chip.hidden = n === 0 && name !== "all" && only !== name;
    chip.setAttribute("aria-pressed", String(only === name));
  }
}

function filter() {
  const words = byID("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const left = rows.show((s) => {
    if (!chosen(s)) return false;
    const trouble = s.trouble ? `trouble ${s.trouble.text}` : "";
    const text = `${s.id} ${s.phase} ${s.reason} ${s.mode} ${trouble}`.toLowerCase();
    return words.every((w) => text.includes(w));
  });
  byID("none").hidden = left > 0;
  put(byID("none"), streams.size ? "No stream matches." : "No stream is configured; those of a pattern " +
    "appear when a viewer comes. Add one below streams: in the configuration, run oncue check, then oncue reload.");
}

// chosen reports whether the chip that is pressed includes the stream.
function chosen(s) {
  switch (only) {
    case "all": return true;
    case "held": return s.mode !== "auto";
    case "trouble": return inTrouble(s);
    default: return s.phase === only;
  }
}

function hookRow(h) {
  const d = h.sent ? `${at(h.received) - at(h.sent)} ms` : "–";
  return el("tr", { title: h.note },
    el("td", {}, el("time", { dateTime: h.received, textContent: clock(at(h.received), true) })),
    el("td", { textContent: h.stream || h.account }), el("td", { textContent: h.event || h.type }),
    el("td", {}, el("span", { class: `verdict v-${h.verdict}`, textContent: h.verdict })),
    el("td", { class: "number", textContent: d }));
}

function hook(h) {
  const body = byID("hook-rows");
  body.prepend(hookRow(h));
  while (body.children.length > keptHooks) body.lastElementChild.remove();
  hookDelay(h);
  put(byID("hook-last"), `${plural(body.children.length, "hook", "hooks")}, last at ${clock(at(h.received), true)}`);
  const account = status && status.platform.find((a) => a.account === h.account);
  if (account) account.last_hook = h.received;
  if (h.type === "thumbnail" && h.stream) {
    rows.newPicture(h.stream);
    detail.newPicture(h.stream);
  }
}

function state(name) {
  const link = byID("link");
  link.dataset.state = name;
  put(link.querySelector(".word"), name === "live" ? "connected" : "disconnected");
  document.body.classList.toggle("stale", name === "lost");
  if (name === "live") lostSince = null;
  else if (lostSince === null) lostSince = Date.now();
  alarm();
}

byID("filter").addEventListener("input", filter);
addEventListener("hashchange", fromHash);
document.addEventListener("keydown", (e) => {
  const typing = document.querySelector("dialog[open]") || document.activeElement === byID("filter");
  if (e.key === "/" && !e.ctrlKey && !e.metaKey && !typing) {
    e.preventDefault();
    byID("filter").focus();
  }
});
setInterval(() => { rows.tickAll(); detail.tick(); platform(); alarm(); }, 1_000);
setInterval(() => { rows.drawAll(); detail.drawLine(); }, 15_000);
follow({ load, stream: changed, helper, hook, glance, state });
