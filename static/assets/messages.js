// Messages of the room page.

export const NOT_FOUND = "There is no such stream. The link may be wrong, or the stream ended some time ago.";
export const NOT_FOUND_OR_NOT_VISIBLE = `${NOT_FOUND} Your token may also be for another stream.`;

// Removals by the service: the title and the message of the page, and whether it offers to join again.
export const REMOVALS = {
  removed: { title: "You were removed", message: "You were removed from this stream.", again: true },
  blocked: { title: "You are blocked", message: "A host has blocked you from this stream.", again: false },
  backstage: { title: "This stream is backstage", message: "You can join again when it is live.", again: true },
};
export const LIVE_AGAIN = { title: "This stream is live", message: "You can join it again.", again: true };

export const ON_STAGE = "You are on stage. Others see and hear you when you turn on your camera and microphone.";
export const IN_AUDIENCE = "You are in the audience again.";

export const LEFT_REASONS = {
  duplicate_identity: "You joined it from another place, so this page was disconnected.",
};

export const STOP_REASONS = {
  requested: "The host stopped it for everyone.",
  idle: "It was empty for a while.",
  room_finished: "Its room was closed.",
  room_gone: "Its room was closed.",
};

export const CONNECTION_LOST = "The video connection was lost. Reconnecting…";
export const CONNECTION_RESTORED = "The video is back.";

export const POOR_CONNECTION = "Your connection is weak: others may see and hear you badly.";
export const FEED_FORBIDDEN = "Your token no longer allows following this stream. This page may be out of date.";

export const NO_WEBRTC =
  "This browser has no WebRTC, which video needs. Please use a current Chrome, Edge, Firefox or Safari.";
export const NO_LIBRARY =
  "The video library could not be loaded, neither from this server nor from the CDN. " +
  "Check your connection and load the page again.";

// Texts for the kinds of errors that `LiveKitRoom.errorKind` returns.
export const CONNECT_ERRORS = {
  full: "This stream is full: it has reached its limit of participants. Try again when someone has left.",
  refused:
    "The video server refused the token: it may have expired, or was made for another server. Please join again.",
  unreachable: "The video server cannot be reached from this browser. Please try again in a moment.",
};

const BY_CODE = {
  stream_full: CONNECT_ERRORS.full,
  stream_backstage: "This stream is not live at the moment. Please try again when it is.",
  participant_blocked: REMOVALS.blocked.message,
  hands_too_frequent: "Hands were raised very often. Please try again in a few seconds.",
  too_many_hands: "Too many hands are raised at the moment. Please try again later.",
  ingress_unavailable:
    "The video server takes no encoders at the moment: it runs without Redis or without an ingress service, or does " +
    "not answer. WHIP directly to LiveKit needs neither.",
  egress_unavailable:
    "The video server cannot record or send at the moment: it runs without Redis or without an egress service, or " +
    "does not answer.",
  storage_not_configured: "This service has no storage for recordings and HLS. Its operator sets EGRESS_STORAGE_URL.",
  livekit_unavailable: "The video server does not answer right now. Please try again in a moment.",
};

export const messageFor = (error) => BY_CODE[error.code] ?? error.message;

export const hiddenTilesMessage = (count) =>
  count === 1 ? "1 more video does not fit on this screen." : `${count} more videos do not fit on this screen.`;
