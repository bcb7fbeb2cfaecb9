// The list of components that the service is connected to, from `GET /health`.

import { fetchHealth } from "./api.js";
import { find, make, setText } from "./dom.js";

const INTERVAL_MS = 10_000;
const KIND_LABELS = {
  livekit: "LiveKit server",
  simulated: "Simulated",
  redis: "Redis",
  memory: "In memory",
  pubsub: "Redis Pub/Sub",
};
const LINK_LABELS = { docs: "API reference", metrics: "Metrics" };
const COMPONENTS = ["livekit", "store", "feed"];

function showComponent(name, status, text) {
  const cell = find(`#part-${name}`);
  cell.dataset.status = status;
  setText(cell, text);
}

export async function showHealth() {
  try {
    const summary = await fetchHealth();
    for (const name of COMPONENTS) {
      const { status, kind } = summary[name];
      const label = KIND_LABELS[kind] ?? kind;
      showComponent(name, status, status === "up" ? label : `${label}: not answering`);
    }
    setText(find("#instance"), `${summary.instance.slice(-8)} · v${summary.version}`);
    find("#instance").title = summary.instance;
    showLinks(summary.links);
  } catch {
    for (const name of COMPONENTS) showComponent(name, "unknown", "Unknown");
    setText(find("#instance"), "Not answering");
  }
}

function showLinks(links = {}) {
  const anchors = Object.entries(links).map(([name, href]) => make("a", { href }, LINK_LABELS[name] ?? name));
  find("#links").replaceChildren(...anchors);
}

setInterval(() => document.hidden || showHealth(), INTERVAL_MS);
