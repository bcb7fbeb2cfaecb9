// The removal of the user from the room. LiveKit disconnects the user at once; the reason is in an event of the feed,
// which arrives before or after that.

import { LIVE_AGAIN, REMOVALS } from "./messages.js";
import { enterPhase, phase } from "./phase.js";

let removal = null; // removed, blocked or backstage; null while the user takes part

export const isRemoved = () => phase() === "left" && removal !== null;
export const resetRemoval = () => (removal = null);

// Returns the reason for which the service has removed a participant, if an event has it; otherwise null.
// `isOwnSession(participant)` is false for an earlier session of the same identity. A viewer of a counted stream has no
// event about its removal when the stream goes backstage, and in a simulated room no disconnect either.
export function removalReason({ type, data }, { identity, role }, { isSimulated, isOwnSession }) {
  if (type === "stream_live_stopped") return isSimulated && role === "viewer" ? "backstage" : null;
  if (type === "participant_blocked") return data.identity === identity ? "blocked" : null;
  if (type !== "participant_left" || data.participant.identity !== identity) return null;
  return isOwnSession(data.participant) ? (data.reason ?? null) : null;
}

// Shows why the user was removed. A block is the reason also if other events follow.
export function showRemoval(reason) {
  if (removal !== "blocked") removal = reason in REMOVALS ? reason : "removed";
  enterPhase("left", REMOVALS[removal].message, REMOVALS[removal]);
}

// Shows a viewer who was removed when the stream went backstage that the stream is live again.
export function showLiveAgain() {
  if (isRemoved() && removal === "backstage") enterPhase("left", LIVE_AGAIN.message, LIVE_AGAIN);
}
