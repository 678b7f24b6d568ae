// Moves the figures of a page: pieces of HTML by name, as the server sends them. Everything works without it.
(() => {
  "use strict";
  const stale = document.getElementById("stale");
  if (!document.querySelector("[data-live]") || !window.EventSource) return;
  const source = new EventSource("/live");
  source.onmessage = (event) => {
    if (stale) stale.hidden = true;
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      for (const place of document.querySelectorAll(`[data-live="${CSS.escape(name)}"]`)) {
        if (place.innerHTML !== html) place.innerHTML = html;
      }
    }
  };
  source.onerror = () => {
    if (stale) stale.hidden = false;
    // The session has ended: the server leads to the door.
    if (source.readyState === EventSource.CLOSED) window.location.reload();
  };
})();
