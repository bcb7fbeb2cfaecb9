// The state of the feed on the room page: its badge, its entries in the event log, its notices.

import { FEED_FORBIDDEN } from "./messages.js";
import { showNotice, showTransientNotice } from "./notices.js";
import { isEnd } from "./phase.js";
import { showFeedState } from "./status.js";

export function noteReset(log, { reason, cursor, snapshot }) {
  if (cursor !== null) log.addReset(reason, snapshot?.version, cursor);
  if (!isEnd()) showTransientNotice("feed", "Connected again. The stream was reloaded.");
}

export function noteFeedState(log, state, previous, status) {
  showFeedState(state);
  if (state === "reconnecting" && previous === "open") {
    log.addDisconnect();
    if (!isEnd()) showNotice("feed", "The server does not answer. Reconnecting…", "warn");
  }
  if (state === "open" && previous === "reconnecting") {
    log.addReconnect();
    if (!isEnd()) showTransientNotice("feed", "Connected again. Nothing was missed.");
  }
  const isForbidden = state === "ended" && (status === 401 || status === 403);
  if (isForbidden && !isEnd()) showNotice("feed", FEED_FORBIDDEN, "error");
}
