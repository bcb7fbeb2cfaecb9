// The video tiles: one for each camera and each shared screen.

import { make, makeIcon, setText } from "./dom.js";
import { gridTileWidth, selectTiles, speakerTileWidths } from "./layout.js";

const QUALITY_LABELS = {
  excellent: "Good connection",
  good: "Fair connection",
  poor: "Poor connection",
  lost: "Connection lost",
};

const keyOf = ({ identity, source }) => `${source} ${identity}`;

export class VideoTiles {
  #root;
  #tiles = new Map(); // by key
  #chosenView = null; // "grid" or "speaker" after the user's choice
  #hasScreen = false;

  constructor(root) {
    this.#root = root;
    new ResizeObserver(() => this.#layOut()).observe(root);
  }

  // Returns "grid" or "speaker". Without a choice of the user, a shared screen selects the speaker view.
  get view() {
    return this.#chosenView ?? (this.#hasScreen ? "speaker" : "grid");
  }

  // Takes effect at the next `show`.
  toggleView() {
    this.#chosenView = this.view === "grid" ? "speaker" : "grid";
  }

  // Shows these tiles and returns the number of tiles that do not fit. Each tile is
  // {identity, source: "camera" | "screen", name, track?, local, muted, speaking, quality}.
  show(all) {
    this.#hasScreen = all.some((tile) => tile.source === "screen");
    const shown = selectTiles(all, this.view, this.#root.clientWidth);
    this.#removeAllBut(new Set(shown.map(keyOf)));
    for (const tile of shown) this.#update(tile);
    this.#markMain(shown);
    this.#layOut();
    return all.length - shown.length;
  }

  #removeAllBut(keys) {
    for (const [key, tile] of this.#tiles) {
      if (keys.has(key)) continue;
      tile.track?.detach(tile.video);
      tile.root.remove();
      this.#tiles.delete(key);
    }
  }

  // Marks the main tile of the speaker view: a shared screen, else a remote speaker, else the previous main tile, else
  // the newest tile.
  #markMain(shown) {
    const candidate =
      shown.find((tile) => tile.source === "screen") ?? shown.find((tile) => tile.speaking && !tile.local);
    const tiles = [...this.#tiles.values()];
    const main = candidate
      ? this.#tiles.get(keyOf(candidate))
      : (tiles.find((tile) => tile.root.hasAttribute("data-main")) ?? tiles.at(-1));
    for (const tile of tiles) tile.root.toggleAttribute("data-main", tile === main);
  }

  // Writes the tile widths into CSS variables.
  #layOut() {
    const box = this.#contentBox();
    const count = this.#tiles.size;
    const view = count > 1 ? this.view : "grid";
    const { main, tile } =
      view === "speaker" ? speakerTileWidths(count, box) : { main: 0, tile: gridTileWidth(count, box) };
    this.#root.dataset.view = view;
    this.#root.style.setProperty("--tile", `${tile}px`);
    this.#root.style.setProperty("--main", `${main}px`);
  }

  #contentBox() {
    const style = getComputedStyle(this.#root);
    const padding = 2 * parseFloat(style.paddingTop);
    return {
      width: this.#root.clientWidth - padding,
      height: this.#root.clientHeight - padding,
      gap: parseFloat(style.columnGap) || 0,
    };
  }

  #update({ identity, source, name, track, local, muted, speaking, quality }) {
    const key = keyOf({ identity, source });
    const tile = this.#tiles.get(key) ?? this.#add(key, identity, source);
    setTrack(tile, track);
    tile.root.toggleAttribute("data-mirrored", local && source === "camera");
    tile.root.toggleAttribute("data-speaking", Boolean(speaking));
    tile.root.toggleAttribute("data-muted", Boolean(muted));
    const label = `${name}${local ? " (you)" : ""}${source === "screen" ? ": screen" : ""}`;
    setText(tile.name, label);
    setText(tile.initial, [...name][0]?.toUpperCase() ?? "?");
    tile.muteIcon.hidden = !muted;
    tile.video.setAttribute("aria-label", `Video of ${label}`);
    showQuality(tile, quality);
  }

  #add(key, identity, source) {
    const tile = makeTile(identity, source);
    this.#tiles.set(key, tile);
    this.#root.append(tile.root);
    return tile;
  }
}

function setTrack(tile, track) {
  if (tile.track !== track) {
    tile.track?.detach(tile.video);
    track?.attach(tile.video);
    tile.track = track;
  }
  tile.video.hidden = !track;
  tile.initial.hidden = Boolean(track);
  // Video elements stay silent: remote audio has its own elements, and local audio must not play.
  tile.video.muted = true;
}

function showQuality({ root, qualityBars }, quality) {
  const label = QUALITY_LABELS[quality];
  root.dataset.quality = quality ?? "unknown";
  qualityBars.hidden = !label;
  qualityBars.title = label ?? "";
  qualityBars.setAttribute("aria-label", qualityBars.title);
}

function makeTile(identity, source) {
  const video = make("video", { playsinline: true, autoplay: true });
  const initial = make("span", { class: "initial", "aria-hidden": "true" });
  const name = make("span", { class: "name" });
  const muteText = make("span", { class: "visually-hidden" }, "microphone off");
  const muteIcon = make("span", { class: "mute", title: "Microphone off" }, makeIcon("mic-off"), muteText);
  const qualityBars = make("span", { class: "bars", role: "img" }, make("i"), make("i"), make("i"));
  const caption = make("figcaption", {}, muteIcon, name, qualityBars);
  const attributes = { class: "tile", "data-identity": identity, "data-source": source };
  const root = make("figure", attributes, video, initial, caption);
  return { root, video, initial, name, muteIcon, qualityBars, track: undefined };
}
