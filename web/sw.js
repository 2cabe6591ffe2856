// Keeps the page's files, so that it works offline. The build writes their names and a version, which is new when any changes.
const BUILT = { version: "", files: [] };

const cacheName = `prepixel-page-${BUILT.version}`;

addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(cacheName);
    // The browser's own cache may hold files of an earlier version: it asks whether they are still the same.
    await cache.addAll(["./", ...BUILT.files].map((name) => new Request(name, { cache: "no-cache" })));
    await skipWaiting();
  };
  event.waitUntil(keep());
});

addEventListener("activate", (event) => {
  const drop = async () => {
    const names = await caches.keys();
    const old = names.filter((name) => name.startsWith("prepixel-page-") && name !== cacheName);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(drop());
});

addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const answer = async () => {
    const cache = await caches.open(cacheName);
    return (await cache.match(event.request)) ?? fetch(event.request);
  };
  event.respondWith(answer());
});
