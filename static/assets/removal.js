// The removal of the user from the room: LiveKit tells it at once, and the feed tells the reason, before or after that.

import { LIVE_AGAIN, REMOVALS } from "./messages.js";
import { enterPhase, phase } from "./phase.js";

let removal = null; // removed, blocked or backstage; null while the user takes part

export const isRemoved = () => phase() === "left" && removal !== null;
export const resetRemoval = () => (removal = null);

// Returns the reason for which the service has removed a participant, if an event tells that; otherwise null. A
// simulated room does not tell a viewer of a counted stream that it was removed when the stream went backstage.
export function removalReason({ type, data }, { identity, role }, isSimulated) {
  if (type === "stream_live_stopped") return isSimulated && role === "viewer" ? "backstage" : null;
  if (type === "participant_blocked") return data.identity === identity ? "blocked" : null;
  return type === "participant_left" && data.participant.identity === identity ? (data.reason ?? null) : null;
}

// Shows why the user was removed. A block is the reason whatever else is told.
export function showRemoval(reason) {
  removal = removal === "blocked" ? removal : reason;
  enterPhase("left", REMOVALS[removal].message, REMOVALS[removal]);
}

// Tells a viewer who was removed when the stream went backstage that it is live again.
export function showLiveAgain() {
  if (isRemoved() && removal === "backstage") enterPhase("left", LIVE_AGAIN.message, LIVE_AGAIN);
}
