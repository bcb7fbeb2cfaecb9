// One's place in LiveKit's room: the connection, one's own devices, and what there is to see.

const CONNECT_WITHIN_MS = 20_000;
const SETTERS = { microphone: "setMicrophoneEnabled", camera: "setCameraEnabled", screen: "setScreenShareEnabled" };

export class Call {
  #livekit;
  #room = null;
  #handlers;

  // `changed` is called whenever there is something else to see, `lost` and `back` about the connection, `ended` with
  // LiveKit's reason.
  constructor(livekit, handlers) {
    this.#livekit = livekit;
    this.#handlers = handlers;
  }

  get isOn() {
    return this.#room !== null;
  }

  get needsTouch() {
    return this.isOn && !this.#room.canPlaybackAudio;
  }

  async connect({ wsUrl, token }) {
    const { Room, RoomEvent } = this.#livekit;
    const room = new Room({ adaptiveStream: { pauseVideoInBackground: false }, dynacast: true });
    const mine = (act) => (...details) => room === this.#room && act(...details);
    for (const event of [
      RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected, RoomEvent.ParticipantPermissionsChanged,
      RoomEvent.TrackPublished, RoomEvent.TrackUnpublished, RoomEvent.TrackSubscribed, RoomEvent.TrackUnsubscribed,
      RoomEvent.TrackMuted, RoomEvent.TrackUnmuted, RoomEvent.LocalTrackPublished, RoomEvent.LocalTrackUnpublished,
      RoomEvent.ActiveSpeakersChanged, RoomEvent.ConnectionQualityChanged, RoomEvent.AudioPlaybackStatusChanged,
    ]) {
      room.on(event, mine(this.#handlers.changed));
    }
    room.on(RoomEvent.TrackSubscribed, (track) => track.kind === "audio" && document.querySelector("#audio").append(track.attach()));
    room.on(RoomEvent.TrackUnsubscribed, (track) => track.kind === "audio" && track.detach().forEach((element) => element.remove()));
    room.on(RoomEvent.Reconnecting, mine(this.#handlers.lost));
    room.on(RoomEvent.Reconnected, mine(this.#handlers.back));
    room.on(RoomEvent.Disconnected, mine((reason) => this.#handlers.ended(this.#reasonOf(reason))));
    this.#room = room;
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("no answer")), CONNECT_WITHIN_MS));
    await Promise.race([room.connect(wsUrl, token), late]);
  }

  hangUp() {
    const leaving = this.#room;
    this.#room = null;
    leaving?.disconnect();
    document.querySelector("#audio").replaceChildren();
  }

  #reasonOf(reason) {
    const { DisconnectReason: Reason } = this.#livekit;
    const words = {
      [Reason.ROOM_DELETED]: "over",
      [Reason.ROOM_CLOSED]: "over",
      [Reason.PARTICIPANT_REMOVED]: "removed",
      [Reason.DUPLICATE_IDENTITY]: "elsewhere",
    };
    return words[reason] ?? "lost";
  }

  // Why LiveKit did not let one in: `full`, `refused`, or `unreachable` where it was not heard at all.
  refusalOf(error) {
    const { ConnectionError, ConnectionErrorReason } = this.#livekit;
    if (/max|full|limit/i.test(error.message)) return "full";
    return error instanceof ConnectionError && error.reason === ConnectionErrorReason.NotAllowed ? "refused" : "unreachable";
  }

  isSending(device) {
    const local = this.#room?.localParticipant;
    return Boolean({ microphone: local?.isMicrophoneEnabled, camera: local?.isCameraEnabled, screen: local?.isScreenShareEnabled }[device]);
  }

  // Fails where the device does not start, unless one has left meanwhile.
  async send(device, on, options) {
    const room = this.#room;
    try {
      await room?.localParticipant[SETTERS[device]](on, options);
    } catch (error) {
      if (room === this.#room) throw error;
    }
  }

  // LiveKit's word for one's own connection.
  get quality() {
    return this.#room?.localParticipant.connectionQuality;
  }

  startSound() {
    return this.#room?.startAudio();
  }

  #participants() {
    return this.#room ? [this.#room.localParticipant, ...this.#room.remoteParticipants.values()] : [];
  }

  // What somebody sends right now, or null where LiveKit does not show them.
  sending(identity) {
    const person = this.#participants().find((one) => one.identity === identity);
    if (!person) return null;
    const sends = { camera: person.isCameraEnabled, microphone: person.isMicrophoneEnabled, screen_share: person.isScreenShareEnabled };
    return Object.keys(sends).filter((source) => sends[source]);
  }

  // As the stage wants them.
  tiles() {
    return this.#participants().flatMap((person) => this.#tilesOf(person));
  }

  #tilesOf(person) {
    const { Source } = this.#livekit.Track;
    const camera = person.getTrackPublication(Source.Camera);
    const screen = person.getTrackPublication(Source.ScreenShare);
    const shared = { identity: person.identity, name: person.name || person.identity, local: person.isLocal };
    const tiles = [];
    if (person.permissions?.canPublish || person.trackPublications.size > 0) {
      tiles.push({
        ...shared,
        source: "camera",
        track: camera && !camera.isMuted ? camera.track : undefined,
        muted: !person.isMicrophoneEnabled,
        speaking: person.isSpeaking,
        quality: person.connectionQuality,
      });
    }
    if (screen?.track && !screen.isMuted) tiles.push({ ...shared, source: "screen", track: screen.track });
    return tiles;
  }
}
