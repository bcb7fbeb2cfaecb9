// Notices at the top of the room page, one for each topic.

import { find, make } from "./dom.js";

const TRANSIENT_MS = 4_000;

const findNotice = (topic) => [...find("#notices").children].find((notice) => notice.dataset.topic === topic);

// Replaces the notice of a topic. An empty text removes it. `kind` is info, good, warn or error.
export function showNotice(topic, text, kind = "info") {
  const present = findNotice(topic);
  if (present && present.textContent === text && present.dataset.kind === kind) return;
  present?.remove();
  if (text) find("#notices").append(make("p", { class: "notice", "data-topic": topic, "data-kind": kind }, text));
}

// Shows a notice of the kind "good", and removes it after four seconds.
export function showTransientNotice(topic, text) {
  showNotice(topic, text, "good");
  setTimeout(() => {
    const present = findNotice(topic);
    if (present?.textContent === text) present.remove();
  }, TRANSIENT_MS);
}

// Removes all notices except the one of `keptTopic`.
export function clearNotices(keptTopic) {
  for (const notice of [...find("#notices").children]) {
    if (notice.dataset.topic !== keptTopic) notice.remove();
  }
}
