// One row for each stream.

import { at, now, age, countdown, clock, bitrate, isolate, plural, put } from "./format.js";
import { streamPath } from "./api.js";
import * as timeline from "./timeline.js";

// step is what oncue does at the deadline. During a start, "retry" means that it gives the start up.
function step(s) {
  if (s.phase !== "starting" || s.deadline_does !== "retry") return s.deadline_does || "change";
  return `give up waiting for the ${s.encoders.some((e) => e.state === "publishing") ? "platform" : "encoder"}`;
}

// next says what oncue does next without being asked, and when.
export function next(s) {
  if (!s.deadline) return "";
  const left = at(s.deadline) - now();
  const what = isolate(step(s));
  return left > 0 ? `${what} in ${countdown(left)}` : `${what} now`;
}

export function hold(s) {
  if (s.mode === "auto") return "";
  const by = s.mode_by ? ` by ${isolate(s.mode_by)}` : "";
  const until = s.mode_until ? ` for ${countdown(at(s.mode_until) - now())}` : "";
  return `held ${s.mode}${by}${until}${s.mode_why ? `: ${isolate(s.mode_why)}` : ""}`;
}

// why is the reason, without the failure that trouble shows.
export function why(s) {
  if (s.waits_for) return `${isolate(s.reason)} (waits for ${isolate(s.waits_for)})`;
  return s.trouble ? s.reason.split(`; ${s.trouble.encoder} failed: `)[0] : s.reason;
}

export function inTrouble(s) { return Boolean(s.trouble) || s.phase === "backoff" || s.phase === "failed"; }

// trouble describes the last failure, also when nobody wants the stream now. It begins with the
// cause, which readers look for first.
export function trouble(s) {
  const t = s.trouble;
  if (!t) return "";
  let when = `at ${clock(at(t.last), true)}`;
  if (t.count > 1) when = `${plural(t.count, "time", "times")} since ${clock(at(t.since))}, last ${when}`;
  const other = s.encoders.find((e) => e.on_air && e.name !== t.encoder);
  if (other) when += `; ${isolate(other.name)} is on the air`;
  return `${isolate(t.text)} (${isolate(t.encoder)} failed ${when})`;
}

// compare orders rows: those in trouble first.
function compare(a, b) { return inTrouble(b) - inTrouble(a) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0); }

export function tag(s) {
  if (s.draining) return "removed";
  if (!s.managed) return "external";
  if (s.unconfirmed) return "unconfirmed";
  return "";
}

// modeLabel is the label of a button that sets a mode.
export function modeLabel(s, mode) {
  return mode === "auto" ? `Return ${s.name} to auto` : `Hold ${s.name} ${mode}`;
}

export function viewersText(s) { return s.viewers === null ? "–" : s.viewers.toLocaleString("en"); }

// encoderOf is the encoder to show: the first one that publishes, or else that is wanted.
function encoderOf(s) {
  const first = (is) => s.encoders.find(is);
  return first((e) => e.on_air) || first((e) => e.state === "publishing") || first((e) => e.wanted) || s.encoders[0];
}

export function encoderText(e) {
  if (!e) return "";
  const h = e.health || {}, parts = [e.state];
  if (h.bitrate_bps) parts.push(bitrate(h.bitrate_bps));
  if (h.fps) parts.push(`${Math.round(h.fps)}\u00a0fps`);
  if (h.dropped) parts.push(`${h.dropped}\u00a0dropped`);
  if (e.restarts) parts.push(e.restarts === 1 ? "1 restart" : `${e.restarts} restarts`);
  return parts.join(" · ");
}

// standbyText says what is kept ready for the next start of an encoder; "" for nothing.
export function standbyText(e) {
  const b = e && e.standby;
  if (!b) return "";
  const parts = [`${b.kind} standby ${b.ready ? "ready" : "not ready"}`];
  if (!b.ready && b.error) parts.push(b.error);
  if (b.ready && b.begins_ms !== undefined) parts.push(`begins with a picture ${(b.begins_ms / 1000).toFixed(1)} s old`);
  if (b.bitrate_bps) parts.push(`${bitrate(b.bitrate_bps)} of input`);
  if (b.cpu_percent !== undefined) parts.push(`${b.cpu_percent.toFixed(1)} % of a core`);
  if (b.memory) parts.push(`${Math.round(b.memory / 1e6)} MB`);
  return parts.join(" · ");
}

// onAir reports whether the last picture can show the present.
export function onAir(s) { return ["live", "lingering"].includes(s.phase); }

// pictureTime is when a picture was taken, or null.
export async function pictureTime(url) {
  try { return Date.parse((await fetch(url)).headers.get("Last-Modified")) || null; } catch { return null; }
}

// Rows keeps the list on the page. It updates times and timelines only of rows that are in view.
export class Rows {
  constructor({ open, ask }) {
    this.list = document.getElementById("rows");
    this.template = document.getElementById("row-template");
    this.byID = new Map();
    this.inView = new Set();
    this.queue = [];
    this.loading = 0;
    this.open = open;
    this.ask = ask;
    this.misplaced = new Set(); // rows to move when nobody points at the list
    this.list.addEventListener("pointerleave", () => this.place());
    this.observer = new IntersectionObserver((entries) => this.scrolled(entries), { rootMargin: "200px" });
  }

  // reset replaces the whole list.
  reset(streams) {
    streams = [...streams].sort(compare);
    const keep = new Set(streams.map((s) => s.id));
    for (const [id, row] of this.byID) if (!keep.has(id)) this.remove(id, row);
    let before = this.list.firstElementChild;
    for (const s of streams) {
      const row = this.byID.get(s.id) || this.make(s);
      if (row.element === before) before = before.nextElementSibling;
      else this.list.insertBefore(row.element, before);
      this.fill(row, s);
    }
    for (const row of this.inView) this.wantLine(row);
  }

  update(s) {
    let row = this.byID.get(s.id);
    const moves = !row || inTrouble(row.s) !== inTrouble(s);
    if (!row) row = this.make(s);
    this.fill(row, s);
    if (moves) this.misplaced.add(row);
    if (!row.element.isConnected || !this.list.matches(":hover")) this.place();
    if (this.inView.has(row)) this.drawLine(row);
  }

  // place moves misplaced rows to their places. It is not called while somebody points at the list:
  // a button must not move away under a finger.
  place() {
    for (const row of this.misplaced) {
      if (!this.byID.has(row.s.id)) continue;
      const after = [...this.list.children].find((e) => e.row !== row && compare(e.row.s, row.s) > 0);
      this.list.insertBefore(row.element, after || null);
    }
    this.misplaced.clear();
  }

  remove(id, row) {
    this.observer.unobserve(row.element);
    this.inView.delete(row);
    row.element.remove();
    this.byID.delete(id);
  }

  make(s) {
    const element = this.template.content.firstElementChild.cloneNode(true);
    const row = { element, s: null, parts: {}, pictureAt: 0 };
    for (const name of [
      "name", "account", "why", "phase", "tag", "since", "act", "hold", "viewers",
      "encoder", "error", "fault", "timeline", "thumb", "taken", "nopic", "mode",
    ]) {
      row.parts[name] = element.querySelector(`.${name}`);
    }
    row.buttons = [...row.parts.mode.children];
    element.row = row;
    row.parts.name.addEventListener("click", () => this.open(row.s.id));
    for (const b of row.buttons) b.addEventListener("click", () => this.ask(row.s, b.dataset.mode));
    row.parts.thumb.addEventListener("error", () => this.picture(row, false));
    row.parts.thumb.addEventListener("load", () => this.picture(row, true));
    this.byID.set(s.id, row);
    this.observer.observe(element);
    return row;
  }

  fill(row, s) {
    const p = row.parts, was = row.s;
    row.s = s;
    row.element.dataset.phase = s.phase;
    row.element.dataset.id = s.id;
    put(p.name, s.name);
    put(p.account, s.account);
    put(p.why, why(s));
    put(p.fault, trouble(s));
    row.element.classList.toggle("troubled", inTrouble(s));
    put(p.phase, s.phase);
    p.phase.className = `phase p-${s.phase}`;
    put(p.tag, tag(s));
    put(p.viewers, viewersText(s));
    p.viewers.classList.toggle("some", s.viewers > 0);
    p.viewers.title = s.viewers === null ? "viewers: the platform has not been asked" : "viewers";
    const e = encoderOf(s);
    put(p.encoder, s.encoders.length > 1 && e ? `${isolate(e.name)}: ${encoderText(e)}` : encoderText(e));
    put(p.error, e && e.error && !(s.trouble && s.trouble.text === e.error) ? e.error : "");
    for (const b of row.buttons) {
      b.setAttribute("aria-pressed", String(b.dataset.mode === s.mode));
      b.setAttribute("aria-label", modeLabel(s, b.dataset.mode));
    }
    timeline.remember(s);
    this.tick(row);
    if (this.inView.has(row) && (!was || was.phase !== s.phase)) this.freshPicture(row);
  }

  tick(row) {
    const { s, parts: p } = row;
    put(p.since, `for ${age(now() - at(s.since))}`);
    p.since.title = `since ${clock(at(s.since), true)}`;
    put(p.act, next(s));
    put(p.hold, hold(s));
  }

  tickAll() { for (const row of this.inView) this.tick(row); }
  loadAll() { for (const row of this.inView) this.wantLine(row); }
  drawAll() { for (const row of this.inView) this.drawLine(row); }

  scrolled(entries) {
    for (const entry of entries) {
      const row = entry.target.row;
      if (!entry.isIntersecting) { this.inView.delete(row); continue; }
      this.inView.add(row);
      if (!row.s) continue;
      this.tick(row);
      this.wantLine(row);
      this.freshPicture(row);
    }
  }

  // wantLine loads a row's timeline, a few at a time, and skips rows that have left the view.
  wantLine(row) {
    if (!this.queue.includes(row)) this.queue.push(row);
    this.work();
  }

  async work() {
    while (this.loading < 4 && this.queue.length) {
      const row = this.queue.pop();
      if (!this.inView.has(row)) continue;
      this.loading++;
      timeline.load(row.s, timeline.rowHours).then(() => this.drawLine(row), () => {}).finally(() => {
        this.loading--;
        this.work();
      });
    }
  }

  drawLine(row) { timeline.draw(row.parts.timeline, row.s.id, timeline.rowHours, true); }

  freshPicture(row) {
    if (now() - row.pictureAt < 5_000) return;
    row.pictureAt = now();
    row.parts.thumb.src = `${streamPath(row.s.id)}/thumbnail?missing=204&t=${Math.round(row.pictureAt)}`;
  }

  picture(row, there) {
    row.parts.thumb.hidden = !there;
    row.parts.nopic.hidden = there;
    row.parts.taken.hidden = true;
    if (there && !onAir(row.s)) pictureTime(row.parts.thumb.src).then((t) => {
      put(row.parts.taken, t ? clock(t) : "");
      row.parts.taken.hidden = !t || onAir(row.s);
    });
  }

  // newPicture is called for each thumbnail hook.
  newPicture(id) {
    const row = this.byID.get(id);
    if (row && this.inView.has(row)) { row.pictureAt = 0; this.freshPicture(row); }
  }

  // show hides the rows that do not match, and returns how many are left.
  show(match) {
    let left = 0;
    for (const row of this.byID.values()) {
      const hidden = !match(row.s);
      if (row.element.hidden !== hidden) row.element.hidden = hidden;
      if (!hidden) left++;
    }
    return left;
  }
}
