// Announcements to screen readers of a value that can change each second, which must not be read out each time.

import { setText } from "./dom.js";

const INTERVAL_MS = 20_000;

// Returns a function that announces the newest text in a status region, at most once in an interval.
export function makeAnnouncer(region) {
  let newest = "";
  let timer = null; // until it fires, nothing is announced
  const announceNewest = () => {
    timer = null;
    if (region.textContent === newest) return;
    setText(region, newest);
    timer = setTimeout(announceNewest, INTERVAL_MS);
  };
  return (text) => {
    newest = text;
    if (timer === null) announceNewest();
  };
}
