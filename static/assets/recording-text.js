// What a recording is and has become, as text.

import { formatDuration, formatSize, isolate } from "./format.js";

const STATES = {
  starting: "starting",
  active: "recording",
  ending: "being saved",
  complete: "saved",
  failed: "failed",
  aborted: "stopped before it began",
  limit_reached: "saved, ended at its limit",
};

// Returns the state, with the durations and the sizes of the files.
export function describeState({ status, files = [] }) {
  const sizes = files.flatMap(({ duration, size }) => [formatDuration(Math.round(duration)), formatSize(size)]);
  return [STATES[status] ?? status, ...sizes].join(" · ");
}

// Returns what is recorded; null for the whole room.
export function describeSource({ identity, trackSid }) {
  if (identity) return isolate(identity);
  return trackSid ? "one track" : null;
}
