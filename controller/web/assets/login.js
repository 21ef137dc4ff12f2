// The link that oncue dashboard prints carries a code behind the #, which browsers keep to themselves.

function takeCode() {
  const code = location.hash.slice(1);
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  document.getElementById("token").value = code;
  document.querySelector("form").requestSubmit();
}

addEventListener("hashchange", takeCode);
takeCode();
