// The badges of the header for what leaves the stream: a recording, a broadcast.

import { announce } from "./announcer.js";
import { find } from "./dom.js";
import { showElapsed } from "./elapsed.js";
import { isOver } from "./jobs.js";

const BADGES = [
  {
    field: "recording",
    badge: find("#recording"),
    began: "This stream is being recorded.",
    ended: "The recording has ended.",
  },
  {
    field: "broadcasting",
    badge: find("#broadcasting"),
    began: "This stream is being broadcast to other platforms.",
    ended: "The broadcast has ended.",
  },
];

const shown = {};

// Shows the badges. `jobs` has the recordings and the broadcasts, which are loaded if one of them runs.
export function showOnAir(stream, { recordings, broadcasts }) {
  const jobsOf = { recording: recordings, broadcasting: broadcasts };
  for (const { field, badge, began, ended } of BADGES) {
    const isOn = Boolean(stream[field]);
    if (isOn !== (shown[field] ?? false)) announce(isOn ? began : ended);
    shown[field] = isOn;
    badge.hidden = !isOn;
    if (isOn) jobsOf[field].loadQuietly();
    showElapsed(badge.querySelector("time"), isOn ? firstStart(jobsOf[field].all) : null);
  }
}

// Returns when the oldest of those that run has started, undefined while all of them are starting.
const firstStart = (jobs) =>
  jobs.filter((job) => !isOver(job)).map(({ startedAt }) => startedAt).filter(Boolean).sort()[0];
