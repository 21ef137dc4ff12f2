// Talking to the daemon.

export const streamPath = (id) => `/api/v1/streams/${encodeURIComponent(id)}`;

// get fetches JSON or text. Errors have the words of the problem document.
export async function get(path, options) {
  const r = await fetch(path, { ...options, headers: { Accept: "application/json, text/plain", ...(options || {}).headers } });
  if (r.status === 401) {
    location.assign("/login");
    throw new Error("the session has ended");
  }
  const json = (r.headers.get("Content-Type") || "").includes("json");
  const body = json ? await r.json() : await r.text();
  if (!r.ok) throw new Error(json && body.detail ? body.detail + (body.hint ? ` (${body.hint})` : "") : `the daemon answered with ${r.status}`);
  return body;
}

export function setMode(id, request) {
  return get(`${streamPath(id)}/mode`, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) });
}

const hiddenFor = 60_000; // a page that nobody sees gives its connection back after this long
const retryAfter = 3_000;
const checkEvery = 10_000;

// follow keeps the page up to date: load() when connected, stream(s) and hook(h) for what changes, glance(status) now and then, which says false when
// all must be loaded again, and state(word) for the connection: "live" or "lost".
export function follow({ load, stream, hook, glance, state }) {
  let source = null, waiting = null, timer = null, generation = 0;

  const deliver = (f) => (e) => {
    const message = JSON.parse(e.data);
    if (waiting) waiting.push(() => f(message));
    else f(message);
  };

  // What comes while the whole is being loaded is applied after it: the feed tells every change in order, so the last word wins.
  async function opened(mine) {
    waiting = [];
    try {
      await load();
      if (mine !== generation) return;
      for (const apply of waiting) apply();
      waiting = null;
      state("live");
    } catch {
      if (mine === generation) lost();
    }
  }

  function connect() {
    clearTimeout(timer);
    if (source) source.close();
    const mine = ++generation;
    source = new EventSource("/api/v1/watch");
    source.addEventListener("open", () => opened(mine));
    source.addEventListener("stream", deliver(stream));
    source.addEventListener("event", deliver(hook));
    source.addEventListener("error", () => { if (mine === generation) lost(); });
  }

  function lost() {
    generation++;
    if (source) source.close();
    source = null;
    state("lost");
    clearTimeout(timer);
    timer = setTimeout(connect, retryAfter);
  }

  setInterval(async () => {
    if (!source || waiting || document.hidden) return;
    const mine = generation;
    try {
      const status = await get("/status?streams=none", { signal: AbortSignal.timeout(checkEvery) });
      if (mine !== generation) return;
      if (!glance(status)) opened(mine);
    } catch {
      if (mine === generation) lost();
    }
  }, checkEvery);

  let hiddenTimer = null;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      hiddenTimer = setTimeout(() => { generation++; clearTimeout(timer); if (source) source.close(); source = null; }, hiddenFor);
    } else if (!source) connect();
  });
  connect();
}
