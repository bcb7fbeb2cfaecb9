// The blocked identities of a stream, for hosts who may block.

import { nextPageUrl, request } from "./api.js";
import { confirmAction } from "./dom.js";
import { isolate } from "./format.js";

// Asks before a block. `name` is that of the participant, or its identity.
export function confirmBlock(name) {
  const consequence = "The participant is disconnected, and can neither join nor follow this stream any more.";
  return confirmAction(`Block ${isolate(name)}?`, consequence, "Block");
}

export class Blocks {
  #stream;
  #onChange;
  #identities = null; // null until they are loaded

  // `onChange()` is called when the blocks are loaded, and after `add`.
  constructor(stream, onChange) {
    this.#stream = stream;
    this.#onChange = onChange;
  }

  get #path() {
    return `${this.#stream.path}/blocks`;
  }

  pathOf(identity) {
    return `${this.#path}/${encodeURIComponent(identity)}`;
  }

  has(identity) {
    return this.#identities?.has(identity) ?? false;
  }

  // Returns the blocked identities, oldest first.
  get all() {
    return [...(this.#identities ?? [])];
  }

  // Adds an identity that the user has blocked. Its event follows.
  add(identity) {
    this.#identities?.add(identity);
    this.#onChange();
  }

  // Loads the blocks, unless they are loaded already. After a failure the menu of a blocked participant offers to block
  // it again, which changes nothing.
  async load() {
    if (this.#identities) return;
    const loaded = (this.#identities = new Set());
    for (let url = `${this.#path}?limit=1000`; url; ) {
      const page = await request("GET", url).catch(() => null);
      for (const { identity } of page?.body ?? []) loaded.add(identity);
      url = page && nextPageUrl(page.response);
    }
    this.#onChange();
  }

  // Forgets the blocks, because events were missed.
  forget() {
    this.#identities = null;
  }

  // Reads an event.
  update({ type, data }) {
    if (type === "participant_blocked") this.#identities?.add(data.identity);
    if (type === "participant_unblocked") this.#identities?.delete(data.identity);
  }
}
