// The log of a stream's events, with the interruptions of the feed.

import { make, setText } from "./dom.js";
import { formatNumber, formatPreciseTime, isolate } from "./format.js";

const MAX_ENTRIES = 200;
const COUNT_EVENT = "participant_count_updated";

function describeUpdate({ state, role, handRaisedAt, tracks = [] }, removed, timestamp) {
  if (handRaisedAt === timestamp) return "raised a hand";
  if (state === "disconnected") return "did not connect";
  if (removed) return "left the stage";
  if (state === "joining") return "is joining";
  const sources = tracks.map((track) => track.source.replaceAll("_", " "));
  if (sources.length > 0) return `sends ${sources.join(", ")}`;
  // The hand of a viewer was lowered, or the role has changed, or the tracks have ended.
  return role === "host" ? "is on stage and sends nothing" : "is in the audience";
}

function describe({ type, timestamp, data }) {
  const { participant, removed, stream, counts, reason, identity, ingress, recording, broadcast } = data;
  const name = participant && isolate(participant.name || participant.identity);
  switch (type) {
    case "stream_created":
      return "Stream started";
    case "stream_stopped":
      return `Stream ended${reason ? `: ${reason.replaceAll("_", " ")}` : ""}`;
    case "participant_joined":
      return `${name} joined`;
    case "participant_left":
      return `${name} ${reason ? "was removed: " + reason : "left"}`;
    case "stream_live_started":
      return "Stream went live";
    case "stream_live_stopped":
      return "Stream went backstage";
    case "participant_updated":
      return `${name} ${describeUpdate(participant, removed, timestamp)}`;
    case "participant_blocked":
      return `${isolate(identity)} was blocked`;
    case "participant_unblocked":
      return `${isolate(identity)} was unblocked`;
    case "ingress_updated":
      return `Source ${isolate(ingress.identity)}: ${ingress.deleted ? "deleted" : ingress.status}`;
    case "recording_updated":
      return `Recording: ${recording.status.replaceAll("_", " ")}`;
    case "broadcast_updated":
      return `Broadcast: ${broadcast.status.replaceAll("_", " ")}`;
    case COUNT_EVENT:
      return `${formatNumber(counts.viewers)} watching`;
    default:
      return stream?.status === "active" ? "Stream changed" : `Stream is ${stream?.status}`;
  }
}

export class EventLog {
  #list;
  #last;
  #newestSeq = 0;
  #cursor = null;
  #hasResumed = false; // no event has arrived since the feed reconnected

  // `last` is the element that shows the newest sequence number.
  constructor(list, last) {
    this.#list = list;
    this.#last = last;
  }

  // Adds an event, unless the log has it.
  addEvent(event) {
    const { type, seq, cursor, timestamp } = event;
    if (seq <= this.#newestSeq) return;
    const isNext = this.#hasResumed && seq === this.#newestSeq + 1;
    this.#hasResumed = false;
    if (type === COUNT_EVENT) this.#removeCount();
    this.#prepend(
      { "data-seq": seq, "data-type": type },
      `#${seq}`,
      describe(event),
      `${type} · ${formatPreciseTime(timestamp)}`,
      `cursor ${cursor}`,
      isNext && `follows #${this.#newestSeq}: nothing was missed`,
    );
    this.#advanceTo(seq, cursor);
  }

  // Counts come each second: of several in a row the newest stays, so that they do not displace other events.
  #removeCount() {
    const newest = this.#list.firstElementChild;
    if (newest?.dataset.type === COUNT_EVENT) newest.remove();
  }

  #advanceTo(seq, cursor) {
    this.#newestSeq = Math.max(this.#newestSeq, seq);
    this.#cursor = cursor;
    setText(this.#last, `#${this.#newestSeq}`);
  }

  addDisconnect() {
    this.#addNote("lost", "Connection lost", "reconnecting");
  }

  // The next event then follows the newest one, or a reset comes first.
  addReconnect() {
    this.#hasResumed = true;
    const position = this.#cursor === null ? "" : `, resuming after #${this.#newestSeq}`;
    this.#addNote("resumed", `Connected again${position}`, this.#cursor && `cursor ${this.#cursor}`);
  }

  // A reset of the feed: the snapshot contains all events up to `seq`.
  addReset(reason, seq, cursor) {
    this.#hasResumed = false;
    this.#addNote("resumed", `Started again from a snapshot as of #${seq}`, `${reason} · cursor ${cursor}`);
    this.#advanceTo(seq, cursor);
  }

  #addNote(kind, text, details) {
    this.#prepend({ "data-note": kind }, "", text, formatPreciseTime(Date.now()), details);
  }

  #prepend(attributes, seq, text, ...details) {
    const hints = details.filter(Boolean).map((detail) => make("span", { class: "hint" }, detail));
    this.#list.prepend(make("li", attributes, make("b", {}, seq), make("span", {}, text), ...hints));
    while (this.#list.children.length > MAX_ENTRIES) this.#list.lastChild.remove();
  }
}
