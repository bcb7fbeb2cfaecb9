// The log of a stream's events, and of what happened to the connection that brings them.

import { make, setText } from "./dom.js";
import { isolated, preciseTimeOf } from "./words.js";

const LENGTH = 200;

function updateOf({ state, tracks = [] }) {
  if (state === "joining") return "is joining";
  if (state === "disconnected") return "did not come";
  const sources = tracks.map((track) => track.source.replaceAll("_", " "));
  return `sends ${sources.join(", ") || "nothing"}`;
}

// What happened, to people; the event's own type stands below.
function wordsFor({ type, data: { participant, stream, reason } }) {
  const who = participant && isolated(participant.name || participant.identity);
  switch (type) {
    case "stream_created":
      return "Stream started";
    case "stream_stopped":
      return `Stream ended${reason ? `: ${reason.replaceAll("_", " ")}` : ""}`;
    case "participant_joined":
      return `${who} joined`;
    case "participant_left":
      return `${who} left`;
    case "participant_updated":
      return `${who} ${updateOf(participant)}`;
    default:
      return stream?.status === "active" ? "Stream changed" : `Stream is ${stream?.status}`;
  }
}

export class EventLog {
  #list;
  #last;
  #newest = 0;
  #cursor = null;
  #back = false; // connected again, and nothing has come since

  constructor(list, last) {
    this.#list = list;
    this.#last = last;
  }

  // Leaves out an event that was logged already.
  event(event) {
    const { type, seq, cursor, timestamp } = event;
    if (seq <= this.#newest) return;
    const follows = this.#back && seq === this.#newest + 1 ? `follows #${this.#newest}: nothing was missed` : "";
    this.#back = false;
    this.#add({ "data-seq": seq }, `#${seq}`, wordsFor(event), `${type} · ${preciseTimeOf(timestamp)}`, `cursor ${cursor}`, follows);
    this.skipTo(seq, cursor);
  }

  // The events up to this one are known.
  skipTo(seq, cursor) {
    this.#newest = Math.max(this.#newest, seq);
    this.#cursor = cursor;
    setText(this.#last, `#${this.#newest}`);
  }

  lost() {
    this.#note("lost", "Connection lost", "trying again");
  }

  // What comes next follows what came last, unless the service says that it cannot.
  resumed() {
    this.#back = true;
    const from = this.#cursor === null ? "" : `, resuming after #${this.#newest}`;
    this.#note("resumed", `Connected again${from}`, this.#cursor && `cursor ${this.#cursor}`);
  }

  // The service has told to start again from a snapshot.
  reset(reason, seq, cursor) {
    this.#back = false;
    this.#note("resumed", `Started again from a snapshot as of #${seq}`, `${reason} · cursor ${cursor}`);
    this.skipTo(seq, cursor);
  }

  #note(kind, words, details) {
    this.#add({ "data-note": kind }, "", words, preciseTimeOf(Date.now()), details);
  }

  #add(attributes, seq, words, ...details) {
    const hints = details.filter(Boolean).map((text) => make("span", { class: "hint" }, text));
    this.#list.prepend(make("li", attributes, make("b", {}, seq), make("span", {}, words), ...hints));
    while (this.#list.children.length > LENGTH) this.#list.lastChild.remove();
  }
}
