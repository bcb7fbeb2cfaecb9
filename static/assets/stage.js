// The tiles: one for each camera or shared screen, drawn anew from what is there whenever something changes.

import { icon, make, setText } from "./common.js";

const MOST_COLUMNS = 5;
const QUALITY_WORDS = { excellent: "Good connection", good: "Fair connection", poor: "Poor connection", lost: "Connection lost" };

export class Stage {
  #root;
  #tiles = new Map();

  constructor(root) {
    this.#root = root;
  }

  // Each wanted tile: {identity, source: "camera" | "screen", name, track?, local, muted, speaking, quality}.
  show(wanted) {
    const keys = new Set(wanted.map(keyOf));
    for (const [key, tile] of this.#tiles) {
      if (!keys.has(key)) {
        tile.track?.detach(tile.video);
        tile.root.remove();
        this.#tiles.delete(key);
      }
    }
    for (const tile of wanted) this.#draw(tile);
    this.#choose(wanted);
    const columns = Math.min(MOST_COLUMNS, Math.ceil(Math.sqrt(wanted.length)));
    this.#root.style.setProperty("--columns", Math.max(1, columns));
    this.#root.dataset.tiles = wanted.length;
  }

  // The large tile of the speaker view: a screen, else who speaks, else the one that it was, else the newest.
  #choose(wanted) {
    const main = wanted.find((tile) => tile.source === "screen") ?? wanted.find((tile) => tile.speaking && !tile.local);
    const tiles = [...this.#tiles.values()];
    const chosen = main
      ? this.#tiles.get(keyOf(main))
      : (tiles.find((tile) => tile.root.hasAttribute("data-main")) ?? tiles.at(-1));
    for (const tile of tiles) tile.root.toggleAttribute("data-main", tile === chosen);
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

const keyOf = ({ identity, source }) => `${source} ${identity}`;
