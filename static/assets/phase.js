// The phase of the room page. Begins with loading, lobby, joining, live; ends with left, stopped or error.

import { find, setText } from "./dom.js";
import { clearNotices, showNotice } from "./notices.js";

const END_TITLES = {
  stopped: "This stream has ended",
  left: "You have left this stream",
  error: "This stream cannot be shown",
};

export const phase = () => document.body.dataset.phase;
export const isEnd = () => phase() in END_TITLES;

// Enters a phase and shows its message. An end may also have a summary, and a button to try again.
export function enterPhase(next, message = "", { kind = "info", summary = "", retry = false } = {}) {
  document.body.dataset.phase = next;
  // The notice about the feed stays, because it applies to every phase except an end.
  clearNotices(isEnd() ? null : "feed");
  if (!isEnd()) return showNotice("phase", message, kind);
  setText(find("#end h2"), END_TITLES[next]);
  setText(find("#end-message"), message);
  setText(find("#end-summary"), summary);
  find("#again").hidden = next !== "left";
  find("#retry").hidden = !retry;
  find("#end").focus();
}
