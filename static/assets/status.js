// The badges for the status of a stream and for the state of the event feed.

import { find, setText } from "./dom.js";

const STATUS_LABELS = { creating: "Starting", active: "Live", stopping: "Stopping", stopped: "Ended", error: "Failed" };
const FEED_LABELS = { connecting: "Connecting…", open: "Up to date", reconnecting: "Reconnecting…", ended: "Closed" };

export function showStatus(badge, status) {
  badge.dataset.status = status;
  setText(badge, STATUS_LABELS[status] ?? status);
}

export function showFeedState(state) {
  const badge = find("#feed");
  badge.dataset.state = state;
  setText(badge, FEED_LABELS[state]);
}
