// What the sections of the Broadcast panel and the list of blocks have in common: their error, and their list.

import { arrangeRows, find, setText } from "./dom.js";
import { messageFor } from "./messages.js";

export class PanelSection {
  #root;
  #list;

  // `selector` is that of the section, which has a heading or a summary, an error and a list.
  constructor(selector) {
    this.#root = find(selector);
    this.#list = this.#root.querySelector(".jobs");
  }

  // Runs an action. Returns its result, or null after an ApiError, which the section shows.
  async attempt(action) {
    try {
      const result = await action();
      this.showError("");
      return result;
    } catch (error) {
      this.showError(messageFor(error));
      return null;
    }
  }

  showError(text) {
    setText(this.#root.querySelector(".error"), text);
  }

  // Shows one row for each item. `keyOf(item)` tells items apart, `makeRow(item)` makes a row, `fillRow(row, item)`
  // updates it. The focus of a row that is removed goes to the heading.
  show(items, { keyOf, makeRow, fillRow }) {
    const hadFocus = this.#list.contains(document.activeElement);
    const existing = new Map([...this.#list.children].map((row) => [row.dataset.key, row]));
    const rows = items.map((item) => {
      const key = keyOf(item);
      const row = existing.get(key) ?? makeRow(item);
      row.dataset.key = key;
      fillRow(row, item);
      return row;
    });
    arrangeRows(this.#list, rows);
    if (hadFocus && !this.#list.contains(document.activeElement)) this.focus();
  }

  focus() {
    this.#root.querySelector("summary, h3").focus();
  }
}
