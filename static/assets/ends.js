// The ends of the room page: the stream has ended or cannot be shown, the user has left or was removed.

import { formatSummary } from "./format.js";
import { messageFor, NOT_FOUND, NOT_FOUND_OR_NOT_VISIBLE, REMOVALS, STOP_REASONS } from "./messages.js";
import { keepIdentity } from "./participation.js";
import { enterPhase, phase } from "./phase.js";
import { showRemoval } from "./removal.js";
import { bearerToken } from "./token.js";

export class Ends {
  #stream;
  #release;
  #draw;

  // `release()` leaves the room and closes the lobby; `draw()` shows the state of the stream.
  constructor(stream, { release, draw }) {
    this.#stream = stream;
    this.#release = release;
    this.#draw = draw;
  }

  // Called twice for most ends: by LiveKit at once, and by the feed with the reason.
  stopped(reason) {
    if (phase() === "error" || (phase() === "stopped" && !STOP_REASONS[reason])) return;
    const summary = this.#stream.document ? formatSummary(this.#stream.document) : "";
    this.#end("stopped", STOP_REASONS[reason], { summary });
  }

  left(message) {
    this.#end("left", message);
    this.#draw();
  }

  failed(error) {
    if (error.status === 404) return this.notFound();
    const title = error.code === "participant_blocked" ? REMOVALS.blocked.title : undefined;
    this.#end("error", messageFor(error), { title, retry: true });
  }

  notFound() {
    this.#end("error", bearerToken() ? NOT_FOUND_OR_NOT_VISIBLE : NOT_FOUND);
  }

  // `participant` is the user, if it has joined.
  removed(reason, participant) {
    const isBackstage = this.#stream.document?.backstage && participant?.role === "viewer";
    this.#release();
    if (reason === "blocked" && participant) keepIdentity(this.#stream, participant);
    showRemoval(reason !== "blocked" && isBackstage ? "backstage" : reason);
    this.#draw();
  }

  #end(end, message, options) {
    this.#release();
    enterPhase(end, message, options);
  }
}
