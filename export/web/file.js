// A browser runs no module from file://, so this is none.
if (location.protocol === "file:") {
  document.getElementById("status").textContent =
    "A browser runs this from a server only. In this folder: python -m http.server, then open http://localhost:8000";
}
