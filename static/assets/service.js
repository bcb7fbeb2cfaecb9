// What the service is connected to, as `GET /health` tells.

import { health } from "./api.js";
import { find, make, setText } from "./dom.js";

const EVERY_MS = 10_000;
const KINDS = { livekit: "LiveKit server", simulated: "Simulated", redis: "Redis", memory: "In memory", pubsub: "Live" };
const LINKS = { docs: "API reference", metrics: "Metrics" };
const PARTS = ["livekit", "store", "feed"];

function showPart(id, status, words) {
  const cell = find(`#part-${id}`);
  cell.dataset.status = status;
  setText(cell, words);
}

export async function showService() {
  try {
    const summary = await health();
    for (const id of PARTS) {
      const { status, kind } = summary[id];
      showPart(id, status, status === "up" ? (KINDS[kind] ?? kind) : `${KINDS[kind] ?? kind}: not answering`);
    }
    setText(find("#instance"), `${summary.instance.slice(-8)} · v${summary.version}`);
    find("#instance").title = summary.instance;
    showLinks(summary.links);
  } catch {
    for (const id of PARTS) showPart(id, "unknown", "Unknown");
    setText(find("#instance"), "Not answering");
  }
}

function showLinks(links = {}) {
  const made = Object.entries(links).map(([name, href]) => make("a", { href }, LINKS[name] ?? name));
  find("#links").replaceChildren(...made);
}

setInterval(() => document.hidden || showService(), EVERY_MS);
