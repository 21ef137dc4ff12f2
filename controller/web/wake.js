// oncueWake asks for a stream as soon as a page is there, before its viewer presses play, and tells
// the page when it goes live.
//
//   const stop = oncueWake({
//     base: "https://hooks.example.com",  // oncue's public_url
//     stream: "ABC123/lobby",             // account/name
//     exp: 1790000000, sig: "9f2c…",      // of the link that your site has made
//     onLive: () => player.connect(),     // each time that the stream goes live
//     onState: (s) => {},                 // optional: {phase, live} at once and at each change
//   });
//
// It asks again while the page is visible and waits, until the stream has been live once. After
// that viewers keep it up, and the page is still told. stop() ends it; the end of the link does, too.
function oncueWake({ base, stream, exp, sig, onLive, onState }) {
  const slash = stream.indexOf("/");
  const path = [stream.slice(0, slash), stream.slice(slash + 1)].map(encodeURIComponent).join("/");
  const link = (tail) => `${base.replace(/\/+$/, "")}/wake/${path}${tail}?exp=${exp}&sig=${sig}`;
  let stopped = false, seen = false, live = false, hold = 30, failures = 0;
  let source = null, asking = 0, opening = 0;

  // later is when to try again: each time twice as long, and pages do not come back all at once.
  const later = () => Math.min(30, 2 ** Math.min(failures++, 5)) * (500 + Math.random() * 500);

  async function ask() {
    clearTimeout(asking);
    if (stopped || seen || document.hidden) return;
    let status = 0;
    try {
      status = (await fetch(link(""), { method: "POST", cache: "no-store", credentials: "omit" })).status;
    } catch { /* no answer: it is tried again */ }
    if (status === 403 || status === 404) return stop(); // trying again cannot help
    if (status === 204) failures = 0;
    clearTimeout(asking);
    if (!stopped && !seen) asking = setTimeout(ask, status === 204 ? (hold * 1000) / 3 : later());
  }

  function open() {
    clearTimeout(opening);
    if (stopped || source || document.hidden) return;
    const mine = source = new EventSource(link("/live"));
    mine.addEventListener("state", (event) => {
      const state = JSON.parse(event.data);
      failures = 0;
      hold = state.hold_s || hold;
      const goes = state.live && !live;
      live = state.live;
      if (live) { seen = true; clearTimeout(asking); }
      if (onState) onState({ phase: state.phase, live });
      if (goes && onLive && !stopped) onLive();
    });
    mine.addEventListener("end", stop);
    mine.onerror = () => { // a browser that only lost the connection connects again by itself
      if (mine.readyState !== EventSource.CLOSED || source !== mine) return;
      source = null;
      if (seen && failures > 8) return stop(); // the link may be over
      opening = setTimeout(open, later());
    };
  }

  function close() {
    clearTimeout(opening);
    if (source) source.close();
    source = null;
  }

  // A page that nobody sees waits for nothing.
  function shown() {
    if (document.hidden) { close(); clearTimeout(asking); } else { ask(); open(); }
  }

  function stop() {
    stopped = true;
    close();
    clearTimeout(asking);
    document.removeEventListener("visibilitychange", shown);
  }

  document.addEventListener("visibilitychange", shown);
  shown();
  return stop;
}
