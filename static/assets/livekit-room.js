// The connection to a LiveKit room: connecting, publishing local devices, and the video tiles of all participants.

import { loadLibrary } from "./media.js";

const CONNECT_TIMEOUT_MS = 20_000;
const DEVICES = {
  microphone: { setter: "setMicrophoneEnabled", flag: "isMicrophoneEnabled" },
  camera: { setter: "setCameraEnabled", flag: "isCameraEnabled" },
  screen: { setter: "setScreenShareEnabled", flag: "isScreenShareEnabled" },
};
// Events after which a tile, the list of participants or a control may look different.
const CHANGE_EVENTS = [
  "ParticipantConnected", "ParticipantDisconnected", "ParticipantPermissionsChanged",
  "TrackPublished", "TrackUnpublished", "TrackSubscribed", "TrackUnsubscribed",
  "TrackMuted", "TrackUnmuted", "LocalTrackPublished", "LocalTrackUnpublished",
  "ActiveSpeakersChanged", "ConnectionQualityChanged", "AudioPlaybackStatusChanged",
];

const audioContainer = () => document.querySelector("#audio");
const attachAudio = (track) => track.kind === "audio" && audioContainer().append(track.attach());
const detachAudio = (track) => track.kind === "audio" && track.detach().forEach((element) => element.remove());

export const hasWebRtc = () => typeof RTCPeerConnection !== "undefined";

// Returns null if this browser has no WebRTC, or if the LiveKit library does not load.
export async function createLiveKitRoom(handlers) {
  const livekit = hasWebRtc() ? await loadLibrary() : null;
  // The library logs every end of a room as an error; the page shows a message instead.
  livekit?.setLogLevel("silent");
  return livekit && new LiveKitRoom(livekit, handlers);
}

class LiveKitRoom {
  #livekit;
  #room = null;
  #lastSid = null;
  #handlers;

  // Handlers: `onChange()`, `onReconnecting()`, `onReconnected()`,
  // `onDisconnected(reason)`. The reason is room_deleted, removed, duplicate_identity or lost.
  constructor(livekit, handlers) {
    this.#livekit = livekit;
    this.#handlers = handlers;
  }

  // True if the browser blocks audio until the user has interacted with the page.
  get needsAudioStart() {
    return this.#room !== null && !this.#room.canPlaybackAudio;
  }

  // Connects, and throws if LiveKit refuses or does not answer within 20 s.
  async connect({ wsUrl, token }) {
    const room = new this.#livekit.Room({ adaptiveStream: { pauseVideoInBackground: false }, dynacast: true });
    this.#subscribe(room);
    this.#room = room;
    const timeout = new Promise((_, reject) => setTimeout(() => reject(new Error("timeout")), CONNECT_TIMEOUT_MS));
    await Promise.race([room.connect(wsUrl, token), timeout]);
  }

  #subscribe(room) {
    const { RoomEvent } = this.#livekit;
    const { onChange, onReconnecting, onReconnected, onDisconnected } = this.#handlers;
    // A room that was replaced or left may still emit events.
    const ifCurrent = (handle) => (...details) => room === this.#room && handle(...details);
    for (const event of CHANGE_EVENTS) room.on(RoomEvent[event], ifCurrent(onChange));
    room.on(RoomEvent.TrackSubscribed, attachAudio);
    room.on(RoomEvent.TrackUnsubscribed, detachAudio);
    room.on(RoomEvent.Reconnecting, ifCurrent(onReconnecting));
    room.on(RoomEvent.Reconnected, ifCurrent(onReconnected));
    room.on(RoomEvent.Disconnected, ifCurrent((reason) => onDisconnected(this.#disconnectReason(reason))));
  }

  disconnect() {
    const room = this.#room;
    this.#lastSid = this.sid;
    this.#room = null;
    room?.disconnect();
    audioContainer().replaceChildren();
  }

  #disconnectReason(reason) {
    const { DisconnectReason } = this.#livekit;
    const reasons = {
      [DisconnectReason.ROOM_DELETED]: "room_deleted",
      [DisconnectReason.ROOM_CLOSED]: "room_deleted",
      [DisconnectReason.PARTICIPANT_REMOVED]: "removed",
      [DisconnectReason.DUPLICATE_IDENTITY]: "duplicate_identity",
    };
    return reasons[reason] ?? "lost";
  }

  // Returns the kind of an error of `connect`: full, refused (the token), or unreachable.
  errorKind(error) {
    const { ConnectionError, ConnectionErrorReason } = this.#livekit;
    if (/max|full|limit/i.test(error.message)) return "full";
    const isRefused = error instanceof ConnectionError && error.reason === ConnectionErrorReason.NotAllowed;
    return isRefused ? "refused" : "unreachable";
  }

  // LiveKit's id of the local participant's session, after a disconnect that of the last session.
  get sid() {
    return this.#room?.localParticipant.sid || this.#lastSid;
  }

  // The role of the local participant by its permission in LiveKit, or undefined while that is not known.
  get role() {
    const permissions = this.#room?.localParticipant.permissions;
    return permissions && (permissions.canPublish ? "host" : "viewer");
  }

  isPublishing(device) {
    return Boolean(this.#room?.localParticipant[DEVICES[device].flag]);
  }

  // Starts or stops publishing a device. Throws if the device does not start, unless the room was left meanwhile.
  async publish(device, isOn, options) {
    const room = this.#room;
    try {
      await room?.localParticipant[DEVICES[device].setter](isOn, options);
    } catch (error) {
      if (room === this.#room) throw error;
    }
  }

  // LiveKit's rating of the local connection: excellent, good, poor, lost or unknown.
  get quality() {
    return this.#room?.localParticipant.connectionQuality;
  }

  // Must be called from a click handler, because browsers start audio only after a user gesture.
  startAudio() {
    return this.#room?.startAudio();
  }

  #participants() {
    return this.#room ? [this.#room.localParticipant, ...this.#room.remoteParticipants.values()] : [];
  }

  // Returns the sources that a participant publishes now, or null if LiveKit does not list the participant.
  sourcesOf(identity) {
    const participant = this.#participants().find((other) => other.identity === identity);
    if (!participant) return null;
    const published = {
      camera: participant.isCameraEnabled,
      microphone: participant.isMicrophoneEnabled,
      screen_share: participant.isScreenShareEnabled,
    };
    return Object.keys(published).filter((source) => published[source]);
  }

  // Returns the tiles of all participants, in the format of `VideoTiles.show`.
  tiles() {
    return this.#participants().flatMap((participant) => this.#tilesOf(participant));
  }

  #tilesOf(participant) {
    const { Source } = this.#livekit.Track;
    const { identity, isLocal } = participant;
    const common = { identity, name: participant.name || identity, local: isLocal };
    const screen = participant.getTrackPublication(Source.ScreenShare);
    const tiles = [];
    if (participant.permissions?.canPublish || participant.trackPublications.size > 0) {
      tiles.push({ ...common, ...cameraTile(participant, participant.getTrackPublication(Source.Camera)) });
    }
    if (screen?.track && !screen.isMuted) tiles.push({ ...common, source: "screen", track: screen.track });
    return tiles;
  }
}

const cameraTile = (participant, camera) => ({
  source: "camera",
  track: camera && !camera.isMuted ? camera.track : undefined,
  muted: !participant.isMicrophoneEnabled,
  speaking: participant.isSpeaking,
  quality: participant.connectionQuality,
});
