// Announcements to screen readers.

import { find, setText } from "./dom.js";

const INTERVAL_MS = 20_000;
// Screen readers announce a change of the region. A text that follows itself changes it after this pause.
const PAUSE_MS = 100;

// Announces a result that is not visible as text, also if it is the same as before.
export function announce(text) {
  const region = find("#announcement");
  region.textContent = "";
  setTimeout(() => (region.textContent = text), PAUSE_MS);
}

// For a value that can change each second. Returns a function that announces the newest text in a status region, at most once in an interval.
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
