// Times that run: how long something has lasted, each second.

import { setTime } from "./dom.js";
import { formatDuration } from "./format.js";

const SECOND_MS = 1_000;

// Shows in a `<time>` how long it is since a moment; null hides it.
export function showElapsed(time, since) {
  time.hidden = !since;
  time.toggleAttribute("data-running", Boolean(since));
  if (since) show(time, since);
}

function show(time, since) {
  // The browser's clock may be behind the server's.
  const seconds = Math.max(0, (Date.now() - new Date(since)) / 1_000);
  setTime(time, since, formatDuration(seconds));
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-running]")) show(time, time.dateTime);
}, SECOND_MS);
