// The list of blocked identities, for hosts who may block. Viewers of a counted stream are blocked here, because the
// list of participants does not have them.

import { isAddressable, request } from "./api.js";
import { confirmBlock } from "./blocks.js";
import { find, make, runOnce, setText } from "./dom.js";
import { formatNumber, isolate } from "./format.js";
import { PanelSection } from "./panel-section.js";

const NOT_ADDRESSABLE = "This identity cannot be blocked: no participant can have it.";

const card = find("#blocks");
const form = find("#block");

export class BlockList {
  #blocks;
  #unblock;
  #section = new PanelSection("#blocks");

  // `unblock(participant)` ends a block.
  constructor(blocks, unblock) {
    this.#blocks = blocks;
    this.#unblock = unblock;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      runOnce(form.querySelector("[type=submit]"), () => this.#block(form.elements.identity.value));
    });
  }

  // `isModerator` is true for a host who may moderate.
  show(isModerator) {
    card.hidden = !isModerator;
    if (isModerator) this.draw();
  }

  draw() {
    const identities = this.#blocks.all;
    setText(find("#blocks-count"), identities.length > 0 ? formatNumber(identities.length) : "");
    find("#no-blocks").hidden = identities.length > 0;
    this.#section.show(identities, {
      keyOf: (identity) => identity,
      makeRow: (identity) => this.#makeRow(identity),
      fillRow: () => {},
    });
  }

  #makeRow(identity) {
    const button = make("button", { type: "button", class: "unblock" }, "Unblock",
      make("span", { class: "visually-hidden" }, ` ${isolate(identity)}`));
    button.addEventListener("click", () => runOnce(button, () => this.#unblock({ identity })));
    return make("li", {},
      make("div", { class: "job" }, make("p", { class: "name" }, identity), isAddressable(identity) ? button : ""),
    );
  }

  async #block(identity) {
    if (!isAddressable(identity)) return this.#section.showError(NOT_ADDRESSABLE);
    if (!(await confirmBlock(identity))) return;
    const blocked = await this.#section.attempt(() => request("PUT", this.#blocks.pathOf(identity), {}));
    if (!blocked) return;
    form.reset();
    this.#blocks.add(identity);
  }
}
