// Numbers and times as text. Times are in milliseconds of the daemon's clock.

let skew = 0; // the daemon's clock minus this browser's

export function setNow(daemonNow) { skew = daemonNow - Date.now(); }
export function now() { return Date.now() + skew; }
export function clockSkew() { return skew; }

export const at = (text) => (text ? Date.parse(text) : null);

// age formats a duration in one or two units: "42 s", "3 min", "2 h 05 min", "4 d 3 h".
export function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 24) return `${h} h ${String(min % 60).padStart(2, "0")} min`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}

// countdown formats the time that is left: "0:42", "1:05:09".
export function countdown(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const min = Math.floor(s / 60);
  return min < 60 ? `${min}:${two(s % 60)}` : `${Math.floor(min / 60)}:${two(min % 60)}:${two(s % 60)}`;
}

// clock is the time of day here, with the day when it is not today.
export function clock(ms, seconds) {
  const t = new Date(ms), today = new Date(now()).toDateString() === t.toDateString();
  const second = seconds ? "2-digit" : undefined;
  const time = t.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second, hour12: false });
  return today ? time : `${t.toLocaleDateString([], { month: "short", day: "numeric" })} ${time}`;
}

// hours formats an amount of encoder time.
export function hours(s) {
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  const h = s / 3600;
  return h < 100 ? `${h.toFixed(1)} h` : `${Math.round(h).toLocaleString("en")} h`;
}

export function bitrate(bps) {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(1)}\u00a0Mb/s` : `${Math.round(bps / 1e3)}\u00a0kb/s`;
}

// isolate keeps the writing direction of a text from outside inside that text.
export const isolate = (text) => `\u2068${text}\u2069`;

export const plural = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// el makes an element: text is text, never markup.
export function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (k === "class") e.className = v;
    else if (k.includes("-")) e.setAttribute(k, v);
    else e[k] = v;
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// put changes an element's text if it differs, so that screen readers do not read it again. It
// returns whether it did.
export function put(e, text) {
  text = text === null || text === undefined ? "" : String(text);
  if (e.textContent === text) return false;
  e.textContent = text;
  return true;
}
