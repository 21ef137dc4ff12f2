// The timeline of a stream: one bar, coloured by phase.

import { get, streamPath } from "./api.js";
import { at, now, age, clock } from "./format.js";

export const phaseOrder = ["idle", "waiting", "starting", "live", "lingering", "stopping", "backoff", "failed"];
const ns = "http://www.w3.org/2000/svg";
const hour = 3600_000;
export let rowHours = 6; // that a row shows
const pageSteps = 1000, mostPages = 20;
const lines = new Map(); // id → {steps: [{at, phase}] oldest first, from: complete since then}

// known adapts rowHours to how long the daemon has known its streams: rows of a new installation
// show one hour. It returns whether rowHours changed.
export function known(since) {
  const hours = since !== null && now() - since < hour ? 1 : 6, changed = hours !== rowHours;
  rowHours = hours;
  return changed;
}

// remember adds a stream's current phase to its timeline, if that is loaded.
export function remember(s) {
  const line = lines.get(s.id);
  if (line) addPhase(line.steps, s, 0);
}

// addPhase adds the stream's current phase to steps, unless it is the last one there.
function addPhase(steps, s, earliest) {
  const last = steps.at(-1);
  if (last && last.phase === s.phase) return;
  steps.push({ at: Math.max(at(s.since), last ? last.at : earliest), phase: s.phase });
}

// load reads a stream's history of the last hours, page by page. It returns false when that is
// loaded already.
export async function load(s, hours) {
  const have = lines.get(s.id), from = now() - hours * hour;
  if (have && have.from <= from) return false;
  const history = [];
  let whole = false, limit = 300;
  for (let page = 0; page < mostPages && !whole; page++, limit = pageSteps) {
    const before = history.length ? `&before=${history.at(-1).seq}` : "";
    const more = await get(`${streamPath(s.id)}/history?limit=${limit}${before}`);
    history.push(...more);
    whole = more.length < limit || at(more.at(-1).at) <= from;
  }
  const steps = history.filter((t) => t.from !== t.to).map((t) => ({ at: at(t.at), phase: t.to })).reverse();
  const oldest = history.at(-1), first = at(s.savings.since);
  if (oldest) steps.unshift({ at: Math.min(first, at(oldest.at)), phase: whole ? oldest.from : "unknown" });
  addPhase(steps, s, first);
  lines.set(s.id, { steps, from });
  return true;
}

export function forget() { lines.clear(); }

// draw fills the SVG with the last hours.
export function draw(svg, id, hours, titles) {
  const line = lines.get(id);
  if (!line) return;
  const end = now(), begin = end - hours * hour, scale = 600 / (end - begin);
  const bars = [];
  line.steps.forEach((step, i) => {
    const until = i + 1 < line.steps.length ? line.steps[i + 1].at : end;
    if (until < begin) return;
    const from = Math.max(step.at, begin);
    const rect = document.createElementNS(ns, "rect");
    const width = Math.max((until - from) * scale, step.phase === "idle" ? 0 : 1.5);
    const low = step.phase === "idle";
    rect.setAttribute("class", `p-${phaseOrder.includes(step.phase) ? step.phase : "unknown"}`);
    rect.setAttribute("x", Math.min((from - begin) * scale, 600 - width).toFixed(2));
    rect.setAttribute("width", width.toFixed(2));
    rect.setAttribute("y", low ? "10" : "2");
    rect.setAttribute("height", low ? "4" : "20");
    if (titles) {
      const title = document.createElementNS(ns, "title");
      const to = until === end ? "now" : clock(until);
      title.textContent = `${step.phase} ${clock(from)} – ${to} (${age(until - from)})`;
      rect.append(title);
    }
    bars.push(rect);
  });
  svg.replaceChildren(...bars);
  svg.setAttribute("aria-label", describe(line.steps, begin, end, hours));
}

function describe(steps, begin, end, hours) {
  const sums = {};
  steps.forEach((step, i) => {
    const until = i + 1 < steps.length ? steps[i + 1].at : end;
    const d = until - Math.max(step.at, begin);
    if (d > 0) sums[step.phase] = (sums[step.phase] || 0) + d;
  });
  const parts = phaseOrder.filter((p) => sums[p]).map((p) => `${p} ${age(sums[p])}`);
  return `Last ${hours} h: ${parts.join(", ") || "unknown"}`;
}
