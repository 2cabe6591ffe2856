// Keeps the page's files, so that it works offline. The build writes their names and a version, which is new when any changes.
const BUILT = { version: "", files: [] };

const cacheName = `prepixel-page-${BUILT.version}`;

addEventListener("install", (event) => {
  event.waitUntil(caches.open(cacheName).then((cache) => cache.addAll(["./", ...BUILT.files])).then(() => skipWaiting()));
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
