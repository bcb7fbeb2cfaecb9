// What the room page says when something is not as it should be.

export const UNKNOWN = "There is no such stream. The link may be wrong, or the stream ended some time ago.";
export const UNKNOWN_OR_HIDDEN = `${UNKNOWN} Or your token is for another one.`;

export const LEFT_REASONS = {
  removed: "You were removed from it.",
  elsewhere: "You joined it from another place, so this page left it.",
};

export const STOP_REASONS = {
  requested: "The host stopped it for everyone.",
  idle: "Nobody was in it for a while.",
  room_finished: "Its room was closed.",
  room_gone: "Its room was closed.",
};

export const CONNECTION_LOST = "The video connection was lost. Reconnecting…";

export const WEAK = "Your connection is weak: others may see and hear you badly.";
export const NOT_FOLLOWED = "Your token does not allow to follow this stream any more: what you see may be out of date.";

export const NO_WEBRTC = "This browser has no WebRTC, which video needs. Please use a current Chrome, Edge, Firefox or Safari.";
export const LIBRARY_MISSING =
  "The video library could not be loaded, neither from this server nor from the CDN. Check your connection and load the page again.";

// Why LiveKit did not let one in.
export const REFUSALS = {
  full: "This stream is full: as many people as it allows are here. Try again when somebody has left.",
  refused: "The video server refused the token: it may have expired, or was made for another server. Please join again.",
  unreachable: "The video server cannot be reached from this browser. Please try again in a moment.",
};

const BY_CODE = {
  stream_full: REFUSALS.full,
  livekit_unavailable: "The video server does not answer right now. Please try again in a moment.",
};

export const problemWords = (error) => BY_CODE[error.code] ?? error.message;

export const moreTiles = (count) =>
  count === 1 ? "One more is here than this screen has places for." : `${count} more are here than this screen has places for.`;
