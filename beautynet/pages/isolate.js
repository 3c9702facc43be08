// A service worker that only adds to what the server says of this page: that it is alone, so that threads may share memory.
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
const here = new URL(registration.scope).pathname, ours = [here, `${here}index.html`];
addEventListener("fetch", (event) => event.request.mode === "navigate" && !ours.includes(new URL(event.request.url).pathname) || event.respondWith((async () => {
  const response = await fetch(event.request);
  if (!response.status) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, {status: response.status, statusText: response.statusText, headers});
})()));
