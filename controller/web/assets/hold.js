// The dialog before a hold: how long, why, and who asks.

import { isolate, put } from "./format.js";
import { setMode } from "./api.js";

const dialog = document.getElementById("hold");
const form = dialog.querySelector("form");
const wrong = document.getElementById("hold-wrong");
const by = document.getElementById("hold-by");
const why = document.getElementById("hold-why");
const toastBox = document.getElementById("toast");
let stream = null, mode = "on", toastTimer = null;

export function toast(text, bad) {
  put(toastBox, text);
  toastBox.classList.toggle("bad", Boolean(bad));
  toastBox.classList.add("up");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toastBox.classList.remove("up"), bad ? 8_000 : 4_000);
}

function me() {
  try { return localStorage.getItem("oncue.by") || ""; } catch { return ""; }
}

function rememberMe(name) {
  try { localStorage.setItem("oncue.by", name); } catch { /* a private window keeps nothing */ }
}

// ask opens the dialog for on and off; auto needs none.
export async function ask(s, wanted, done) {
  if (wanted === "auto") {
    try {
      done(await setMode(s.id, { mode: "auto", by: me() || "dashboard" }));
      toast(`${isolate(s.name)} is back on auto`);
    } catch (e) { toast(e.message, true); }
    return;
  }
  stream = s;
  mode = wanted;
  dialog.dataset.mode = wanted;
  put(document.getElementById("hold-title"), `Hold ${isolate(s.name)} ${wanted}`);
  put(document.getElementById("hold-what"), wanted === "on"
    ? "It stays on, even when nobody watches."
    : "It stays off, even when viewers wait. If it is on, it stops now.");
  put(document.getElementById("hold-do"), `Hold ${wanted}`);
  by.value = me();
  why.value = "";
  wrong.hidden = true;
  dialog.done = done;
  dialog.showModal();
}

form.addEventListener("submit", async (e) => {
  e.preventDefault();
  const request = { mode, by: by.value.trim() || "dashboard", why: why.value.trim() };
  const length = form.elements.for.value;
  if (length) request.for = length;
  rememberMe(by.value.trim());
  try {
    dialog.done(await setMode(stream.id, request));
    dialog.close();
    toast(`${isolate(stream.name)} is held ${mode}${length ? ` for ${length}` : ""}`);
  } catch (err) {
    wrong.hidden = false;
    put(wrong, err.message);
  }
});
dialog.querySelector("[value=cancel]").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
