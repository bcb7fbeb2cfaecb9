// The badges for the status of a stream and for the state of the event feed.

import { find, setText } from "./dom.js";

const STATUS_LABELS = {
  creating: "Starting", active: "Live", backstage: "Backstage", stopping: "Stopping", stopped: "Ended", error: "Failed",
};
const FEED_LABELS = { connecting: "Connecting…", open: "Up to date", reconnecting: "Reconnecting…", ended: "Closed" };

// An active stream that is backstage is not live.
export function showStatus(badge, stream) {
  const status = stream.status === "active" && stream.backstage ? "backstage" : stream.status;
  badge.dataset.status = status;
  setText(badge, STATUS_LABELS[status] ?? status);
}

export function showFeedState(state) {
  const badge = find("#feed");
  badge.dataset.state = state;
  setText(badge, FEED_LABELS[state]);
}
