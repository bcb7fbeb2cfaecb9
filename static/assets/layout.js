// Layout of the video tiles. All sizes are in pixels.

const MAX_GRID_TILES = 25;
const ASPECT_RATIO = 16 / 9;
const STRIP_TILE_WIDTH = 168;
const MIN_STRIP_TILE_WIDTH = 110;
const STRIP_ROWS = 2;

// Returns the greatest width with which `count` equal tiles fit into the box.
export function gridTileWidth(count, box) {
  let best = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    best = Math.max(best, tileWidth(columns, Math.ceil(count / columns), box));
  }
  return Math.floor(best);
}

// Returns the widths of the speaker view: one main tile above a strip of small tiles.
export function speakerTileWidths(count, { width, height, gap }) {
  const others = count - 1;
  if (others === 0) return { main: Math.floor(tileWidth(1, 1, { width, height, gap })), tile: 0 };
  const columns = stripColumns(width);
  const tile = Math.floor(Math.min(STRIP_TILE_WIDTH, (width - gap * (columns - 1)) / columns));
  const stripHeight = Math.ceil(others / columns) * (tile / ASPECT_RATIO + gap);
  return { main: Math.floor(tileWidth(1, 1, { width, height: height - stripHeight, gap })), tile };
}

const stripColumns = (width) => Math.max(1, Math.floor(width / MIN_STRIP_TILE_WIDTH));

function tileWidth(columns, rows, { width, height, gap }) {
  const byWidth = (width - gap * (columns - 1)) / columns;
  const byHeight = ((height - gap * (rows - 1)) / rows) * ASPECT_RATIO;
  return Math.max(0, Math.min(byWidth, byHeight));
}

// Returns the tiles that are shown, in their original order. If there are too many, screens come first, then active
// speakers and the user's own tile, then other tiles with video.
export function selectTiles(tiles, view, width) {
  const limit = view === "grid" ? MAX_GRID_TILES : 1 + STRIP_ROWS * stripColumns(width);
  if (tiles.length <= limit) return tiles;
  const selected = [...tiles].sort((a, b) => priority(a) - priority(b)).slice(0, limit);
  return tiles.filter((tile) => selected.includes(tile));
}

// A lower number is shown first.
function priority(tile) {
  if (tile.source === "screen") return 0;
  if (tile.local || tile.speaking) return 1;
  return tile.track ? 2 : 3;
}
