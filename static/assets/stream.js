// The state of one stream: its document and its participants, updated by its events.

import { followEvents, request } from "./api.js";

// Past events that the feed sends first, for the log.
const PAST_EVENTS = 50;

export class Stream {
  document = null; // without participants
  participants = new Map(); // by identity
  participantsTruncated = false; // the document has not all participants
  #id;
  #handlers;
  #feed = null;
  #feedState = "connecting";

  // Handlers: `onChange()`; before it `onApplied(event)` after an event has changed the state, or `onLoaded()` after a
  // document has replaced the state; `onEvent(event)`; `onOlder(event)` for an event that the state contains already;
  // `onReset(reset)`, `onFeedState(state, previous, status)`, `onEnd(reason?)`.
  constructor(id, handlers) {
    this.#id = id;
    this.#handlers = handlers;
  }

  get path() {
    return `/streams/${encodeURIComponent(this.#id)}`;
  }

  get hasEnded() {
    return ["stopped", "error"].includes(this.document?.status);
  }

  // Connected hosts that are not agents.
  get hosts() {
    return [...this.participants.values()].filter(
      ({ state, role, kind }) => state === "active" && role === "host" && kind !== "agent",
    );
  }

  // Returns tiles without video for simulated rooms.
  tiles(ownIdentity) {
    return this.hosts.map(({ identity, name }) => ({
      identity,
      source: "camera",
      name: name || identity,
      local: identity === ownIdentity,
    }));
  }

  // Loads the document. Events that arrive meanwhile may have made the state newer than the response.
  async load() {
    const { body } = await request("GET", this.path);
    if (!(body.version < this.document?.version)) this.#replace(body);
  }

  // Opens the feed, or reopens it.
  follow() {
    if (this.#feed) return this.#feed.reopen();
    const query = new URLSearchParams({ streamId: this.#id, limit: PAST_EVENTS });
    this.#feed = followEvents(`/events?${query}`, {
      onEvent: (event) => this.#applyEvent(event),
      onReset: (reset) => this.#applyReset(reset),
      onState: (state, status) => {
        const previous = this.#feedState;
        this.#feedState = state;
        this.#handlers.onFeedState(state, previous, status);
      },
    });
  }

  // Shows the participant of a response while the feed is interrupted. The events that follow may be newer or older.
  showParticipant(participant) {
    if (this.#feedState === "open") return;
    this.participants.set(participant.identity, participant);
    if (this.document.audience === "counted") this.#keepStage();
    this.#handlers.onChange();
  }

  #reload() {
    this.load().catch((error) => error.status === 404 && this.#handlers.onEnd());
  }

  #replace(body) {
    this.#merge(body);
    this.#handlers.onLoaded();
    this.#handlers.onChange();
  }

  // Merges fields into the document. Participants, if given, replace all known ones.
  #merge({ participants, ...document }) {
    this.document = { ...this.document, ...document };
    if (participants) {
      this.participants = new Map(participants.map((one) => [one.identity, one]));
      this.participantsTruncated = document.participantsTruncated ?? false;
    }
  }

  #applyEvent(event) {
    this.#handlers.onEvent(event);
    const { version } = this.document;
    // An event between the document and this one is missing, so the document is loaded again.
    if (event.seq > version + 1) return this.#reload();
    if (event.seq === version + 1) this.#applyNext(event);
    else this.#handlers.onOlder(event);
    if (event.type === "stream_stopped" || this.hasEnded) this.#handlers.onEnd(event.data.reason);
  }

  #applyNext(event) {
    const { participant, removed, stream } = event.data;
    if (removed) this.participants.delete(participant.identity);
    else if (participant) this.participants.set(participant.identity, participant);
    if (stream.audience === "counted") this.#keepStage();
    this.#merge(stream);
    this.#handlers.onApplied(event);
    this.#handlers.onChange();
  }

  // Keeps the stage of a counted stream: hosts, and viewers with a raised hand.
  #keepStage() {
    for (const { identity, role, handRaisedAt } of this.participants.values()) {
      if (role !== "host" && !handRaisedAt) this.participants.delete(identity);
    }
  }

  #applyReset(reset) {
    this.#handlers.onReset(reset);
    if (reset.cursor === null) return this.#reload();
    if (reset.snapshot) this.#replace(reset.snapshot);
    if (!reset.snapshot || this.hasEnded) this.#handlers.onEnd();
  }
}
