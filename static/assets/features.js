// Whether this browser can join.

import { hasWebRtc } from "./livekit-room.js";
import { NO_LIBRARY, NO_WEBRTC } from "./messages.js";

export const isSimulated = (health) => health?.livekit.kind === "simulated";

// Returns a message if this browser cannot join, otherwise null. `room` is null without the LiveKit library.
export function missingFeature(health, room) {
  if (isSimulated(health)) return null;
  if (!hasWebRtc()) return NO_WEBRTC;
  return room ? null : NO_LIBRARY;
}
