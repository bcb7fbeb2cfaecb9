// Third-party libraries: the copy of this server, or else the one of a CDN with a pinned hash.

import { make } from "./dom.js";

const LOAD_TIMEOUT_MS = 10_000;

function loadScript(attributes, name) {
  return new Promise((resolve) => {
    const script = make("script", attributes);
    script.onload = () => resolve(window[name] ?? null);
    script.onerror = () => resolve(null);
    setTimeout(() => resolve(null), LOAD_TIMEOUT_MS);
    document.head.append(script);
  });
}

// Returns the library that defines the global `name`, or null if neither copy loads.
export async function loadLibrary(name, url, cdnUrl, cdnHash) {
  const fromCdn = { src: cdnUrl, integrity: cdnHash, crossorigin: "anonymous" };
  return (await loadScript({ src: url }, name)) ?? (await loadScript(fromCdn, name));
}
