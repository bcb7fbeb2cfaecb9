// The Broadcast panel of the room page, for hosts who may moderate, and the badges of the header.

import { find } from "./dom.js";
import { isOver } from "./jobs.js";
import { showOnAir } from "./on-air.js";
import { Outputs } from "./outputs.js";
import { Recordings } from "./recordings.js";
import { Sources } from "./sources.js";

export class BroadcastPanel {
  #stream;
  #panel = find("#broadcast");
  #recordings;
  #outputs;
  #sections;
  #isModerator = false;
  #hasModerated = false;

  constructor(stream) {
    this.#stream = stream;
    const draw = () => this.#draw();
    this.#recordings = new Recordings(stream, draw);
    this.#outputs = new Outputs(stream, draw);
    this.#sections = [new Sources(stream, draw), this.#recordings, this.#outputs];
    this.#panel.addEventListener("toggle", () => this.#load());
  }

  // Reads an event that has changed the stream. The page draws afterwards. Events have no location of files.
  update(event) {
    for (const { jobs } of this.#sections) jobs.update(event);
    const { recording } = event.data;
    if (recording && isOver(recording) && !this.#panel.hidden) this.#recordings.jobs.load().catch(() => {});
  }

  // Loads everything again, because events were missed.
  forget() {
    for (const { jobs } of this.#sections) jobs.forget();
    this.#load();
  }

  #load() {
    if (this.#panel.hidden || !this.#panel.open) return;
    for (const section of this.#sections) section.load();
  }

  // `isModerator` is true for a host who may moderate. `isSimulated` is true without a LiveKit server.
  show(isModerator, { isSimulated }) {
    this.#isModerator = isModerator;
    this.#hasModerated ||= isModerator;
    if (this.#stream.hasEnded && this.#hasModerated) this.#recordings.follow();
    this.#draw({ isSimulated });
  }

  // When the stream has ended, the panel has its recordings.
  get #isShown() {
    if (!this.#stream.hasEnded) return this.#isModerator;
    return this.#hasModerated && this.#recordings.jobs.all.length > 0;
  }

  #draw(options) {
    showOnAir(this.#stream.document, { recordings: this.#recordings.jobs, broadcasts: this.#outputs.jobs });
    const wasHidden = this.#panel.hidden;
    this.#panel.hidden = !this.#isShown;
    if (this.#panel.hidden) return;
    if (wasHidden) this.#load();
    for (const section of this.#sections) section.draw(options);
  }
}
