// What the room page says above everything else: one line for each topic.

import { find, make } from "./dom.js";

const GOOD_NEWS_STAYS_MS = 4_000;

// Says something about one topic, until it says something else about it.
export function say(topic, words, kind = "info") {
  const notices = find("#notices");
  const present = [...notices.children].find((notice) => notice.dataset.topic === topic);
  if (present && present.textContent === words && present.dataset.kind === kind) return;
  present?.remove();
  if (words) notices.append(make("p", { class: "notice", "data-topic": topic, "data-kind": kind }, words));
}

export function sayForNow(topic, words) {
  say(topic, words, "good");
  setTimeout(() => {
    const present = [...find("#notices").children].find((notice) => notice.dataset.topic === topic);
    if (present?.textContent === words) present.remove();
  }, GOOD_NEWS_STAYS_MS);
}

// Says no more, but for one topic that goes on.
export function sayNothing(except) {
  for (const notice of [...find("#notices").children]) {
    if (notice.dataset.topic !== except) notice.remove();
  }
}
