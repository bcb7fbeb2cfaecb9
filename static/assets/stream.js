// One stream as the service tells of it: its document, who is in it, and the events that change both.

import { call, followEvents } from "./api.js";

const LOGGED = 50;

export class Stream {
  document = null; // without participants
  people = new Map(); // by identity
  #id;
  #handlers;
  #feed = null;
  #feedState = "connecting";

  // Handlers: `changed()`, `event(event)`, `reset(reset)`, `feed(state, before, status)`, `over(reason)`.
  constructor(id, handlers) {
    this.#id = id;
    this.#handlers = handlers;
  }

  get path() {
    return `/streams/${encodeURIComponent(this.#id)}`;
  }

  get isOver() {
    return ["stopped", "error"].includes(this.document?.status);
  }

  // For the stage, where rooms are simulated: nobody has a picture.
  tiles(self) {
    const hosts = [...this.people.values()].filter((person) => person.state === "active" && person.role === "host" && person.kind !== "agent");
    return hosts.map(({ identity, name }) => ({ identity, source: "camera", name: name || identity, local: identity === self }));
  }

  async load() {
    const { document } = await call("GET", this.path);
    this.#take(document);
  }

  follow() {
    if (this.#feed) return this.#feed.reopen();
    this.#feed = followEvents(`/events?${new URLSearchParams({ streamId: this.#id, limit: LOGGED })}`, {
      onEvent: (event) => this.#apply(event),
      onReset: (reset) => this.#startAgain(reset),
      onState: (state, status) => {
        const before = this.#feedState;
        this.#feedState = state;
        this.#handlers.feed(state, before, status);
      },
    });
  }

  #reload() {
    this.load().catch((error) => error.status === 404 && this.#handlers.over());
  }

  // Every change of the document goes through here.
  #take({ participants, ...document }) {
    this.document = { ...this.document, ...document };
    if (participants) this.people = new Map(participants.map((person) => [person.identity, person]));
    this.#handlers.changed();
  }

  #apply(event) {
    this.#handlers.event(event);
    const { version } = this.document;
    // The document and the newest events overlap; where they do not, the document is loaded again.
    if (event.seq > version + 1) return this.#reload();
    const { participant, stream, reason } = event.data;
    if (event.seq === version + 1) {
      if (participant) this.people.set(participant.identity, participant);
      this.#take(stream);
    }
    if (event.type === "stream_stopped" || this.isOver) this.#handlers.over(reason);
  }

  #startAgain(reset) {
    this.#handlers.reset(reset);
    if (reset.cursor === null) return this.#reload();
    if (reset.snapshot) this.#take(reset.snapshot);
    if (!reset.snapshot || this.isOver) this.#handlers.over();
  }
}
