// Talking to the daemon.

export const streamPath = (id) => `/api/v1/streams/${encodeURIComponent(id)}`;

// get fetches JSON or text. Errors have the text of the problem document.
export async function get(path, options) {
  const headers = { Accept: "application/json, text/plain", ...(options || {}).headers };
  const r = await fetch(path, { ...options, headers });
  if (r.status === 401) {
    location.assign("/login");
    throw new Error("the session has ended");
  }
  const json = (r.headers.get("Content-Type") || "").includes("json");
  const body = json ? await r.json() : await r.text();
  if (r.ok) return body;
  if (!json || !body.detail) throw new Error(`the daemon answered with ${r.status}`);
  throw new Error(body.hint ? `${body.detail} (${body.hint})` : body.detail);
}

export function setMode(id, request) {
  const headers = { "Content-Type": "application/json" };
  return get(`${streamPath(id)}/mode`, { method: "PUT", headers, body: JSON.stringify(request) });
}

const hiddenFor = 60_000; // a page that nobody sees closes its connection after this time
const retryAfter = 3_000;
const checkEvery = 10_000;

// follow keeps the page up to date. It calls load() when connected, stream(s), helper(h) and hook(h) for
// changes, glance(status) from time to time, which returns false when everything must be loaded
// again, and state(name) for the connection: "live" or "lost".
export function follow({ load, stream, helper, hook, glance, state }) {
  let source = null, waiting = null, timer = null, generation = 0;

  const deliver = (f) => (e) => {
    const message = JSON.parse(e.data);
    if (waiting) waiting.push(() => f(message));
    else f(message);
  };

  // Changes that come while everything is being loaded are applied afterwards, in their order.
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
    close();
    const mine = generation;
    source = new EventSource("/api/v1/watch");
    source.addEventListener("open", () => opened(mine));
    source.addEventListener("stream", deliver(stream));
    source.addEventListener("helper", deliver(helper));
    source.addEventListener("event", deliver(hook));
    source.addEventListener("error", () => { if (mine === generation) lost(); });
  }

  function close() {
    generation++;
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  }

  function lost() {
    close();
    state("lost");
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
      hiddenTimer = setTimeout(close, hiddenFor);
    } else if (!source) connect();
  });
  connect();
}
