// The link that oncue dashboard prints has a code after the #, which browsers do not send.

function takeCode() {
  const code = location.hash.slice(1);
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  document.getElementById("token").value = code;
  document.querySelector("form").requestSubmit();
}

addEventListener("hashchange", takeCode);
takeCode();
