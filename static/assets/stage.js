// The tiles: one for each camera or shared screen, drawn anew from what is there whenever something changes.

import { icon, make, setText } from "./dom.js";
import { chosenTiles, gridTile, speakerTiles } from "./layout.js";

const QUALITY_WORDS = { excellent: "Good connection", good: "Fair connection", poor: "Poor connection", lost: "Connection lost" };

const keyOf = ({ identity, source }) => `${source} ${identity}`;

export class Stage {
  #root;
  #tiles = new Map();
  #wanted = null; // "grid" or "speaker" once somebody has chosen
  #hasScreen = false;

  constructor(root) {
    this.#root = root;
    new ResizeObserver(() => this.#arrange()).observe(root);
  }

  // A shared screen is shown large, unless somebody has chosen otherwise.
  get view() {
    return this.#wanted ?? (this.#hasScreen ? "speaker" : "grid");
  }

  // To be shown anew afterwards.
  switchView() {
    this.#wanted = this.view === "grid" ? "speaker" : "grid";
  }

  // Each tile: {identity, source: "camera" | "screen", name, track?, local, muted, speaking, quality}. Gives how many
  // have no place.
  show(all) {
    this.#hasScreen = all.some((tile) => tile.source === "screen");
    const shown = chosenTiles(all, this.view, this.#root.clientWidth);
    const keys = new Set(shown.map(keyOf));
    for (const [key, tile] of this.#tiles) {
      if (keys.has(key)) continue;
      tile.track?.detach(tile.video);
      tile.root.remove();
      this.#tiles.delete(key);
    }
    for (const tile of shown) this.#draw(tile);
    this.#choose(shown);
    this.#arrange();
    return all.length - shown.length;
  }

  // The large tile of the speaker view: a screen, else who speaks, else the one that it was, else the newest.
  #choose(shown) {
    const main = shown.find((tile) => tile.source === "screen") ?? shown.find((tile) => tile.speaking && !tile.local);
    const tiles = [...this.#tiles.values()];
    const chosen = main
      ? this.#tiles.get(keyOf(main))
      : (tiles.find((tile) => tile.root.hasAttribute("data-main")) ?? tiles.at(-1));
    for (const tile of tiles) tile.root.toggleAttribute("data-main", tile === chosen);
  }

  #arrange() {
    const style = getComputedStyle(this.#root);
    const around = 2 * parseFloat(style.paddingTop);
    const box = { width: this.#root.clientWidth - around, height: this.#root.clientHeight - around, gap: parseFloat(style.columnGap) || 0 };
    const count = this.#tiles.size;
    const view = count > 1 ? this.view : "grid";
    const { main, tile } = view === "speaker" ? speakerTiles(count, box) : { main: 0, tile: gridTile(count, box) };
    this.#root.dataset.view = view;
    this.#root.style.setProperty("--tile", `${tile}px`);
    this.#root.style.setProperty("--main", `${main}px`);
  }

  #draw({ identity, source, name, track, local, muted, speaking, quality }) {
    const key = keyOf({ identity, source });
    const tile = this.#tiles.get(key) ?? this.#make(key, identity, source);
    if (tile.track !== track) {
      tile.track?.detach(tile.video);
      track?.attach(tile.video);
      tile.track = track;
    }
    tile.video.hidden = !track;
    tile.initial.hidden = Boolean(track);
    // One's own voice is never played back to oneself; the voices of others have elements of their own.
    tile.video.muted = true;
    tile.root.toggleAttribute("data-mirrored", local && source === "camera");
    tile.root.toggleAttribute("data-speaking", Boolean(speaking));
    tile.root.toggleAttribute("data-muted", Boolean(muted));
    tile.root.dataset.quality = quality ?? "unknown";
    const label = `${name}${local ? " (you)" : ""}${source === "screen" ? ": screen" : ""}`;
    setText(tile.name, label);
    setText(tile.initial, [...name][0]?.toUpperCase() ?? "?");
    tile.mute.hidden = !muted;
    tile.bars.hidden = !QUALITY_WORDS[quality];
    tile.bars.title = QUALITY_WORDS[quality] ?? "";
    tile.bars.setAttribute("aria-label", tile.bars.title);
    tile.video.setAttribute("aria-label", `Video of ${label}`);
  }

  #make(key, identity, source) {
    const video = make("video", { playsinline: true, autoplay: true });
    const initial = make("span", { class: "initial", "aria-hidden": "true" });
    const name = make("span", { class: "name" });
    const mute = make("span", { class: "mute", title: "Microphone off" }, icon("mic-off"), make("span", { class: "unseen" }, "microphone off"));
    const bars = make("span", { class: "bars", role: "img" }, make("i"), make("i"), make("i"));
    const caption = make("figcaption", {}, mute, name, bars);
    const root = make("figure", { class: "tile", "data-identity": identity, "data-source": source }, video, initial, caption);
    const tile = { root, video, initial, name, mute, bars, track: undefined };
    this.#tiles.set(key, tile);
    this.#root.append(root);
    return tile;
  }
}
