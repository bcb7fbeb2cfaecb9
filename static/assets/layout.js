// How large the tiles are. Sizes are in pixels.

const MOST_TILES = 25;
const RATIO = 16 / 9;
const STRIP_TILE = 168;
const SMALLEST_STRIP_TILE = 110;
const STRIP_ROWS = 2;

// The width of equal tiles that makes the most of a box.
export function gridTile(count, { width, height, gap }) {
  let best = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    best = Math.max(best, widthIn(columns, Math.ceil(count / columns), { width, height, gap }));
  }
  return Math.floor(best);
}

// One large tile above a strip of the others, which has two rows at most.
export function speakerTiles(count, { width, height, gap }) {
  const others = count - 1;
  if (others === 0) return { main: Math.floor(widthIn(1, 1, { width, height, gap })), tile: 0 };
  const columns = Math.max(1, Math.floor(width / SMALLEST_STRIP_TILE));
  const tile = Math.floor(Math.min(STRIP_TILE, (width - gap * (columns - 1)) / columns));
  const strip = Math.ceil(others / columns) * (tile / RATIO + gap);
  return { main: Math.floor(widthIn(1, 1, { width, height: height - strip, gap })), tile };
}

function widthIn(columns, rows, { width, height, gap }) {
  const byWidth = (width - gap * (columns - 1)) / columns;
  const byHeight = ((height - gap * (rows - 1)) / rows) * RATIO;
  return Math.max(0, Math.min(byWidth, byHeight));
}

// Which tiles have a place, in their own order: screens and those who speak come first where there are too many.
export function chosenTiles(tiles, view, width) {
  const places = view === "grid" ? MOST_TILES : 1 + STRIP_ROWS * Math.max(1, Math.floor(width / SMALLEST_STRIP_TILE));
  if (tiles.length <= places) return tiles;
  const weight = (tile) => (tile.source === "screen" ? 0 : tile.local || tile.speaking ? 1 : tile.track ? 2 : 3);
  const ranked = [...tiles].sort((a, b) => weight(a) - weight(b)).slice(0, places);
  return tiles.filter((tile) => ranked.includes(tile));
}
