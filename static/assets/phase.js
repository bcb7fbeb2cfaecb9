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

const DEFAULTS = { kind: "info", title: undefined, summary: "", retry: false, again: true };

// Enters a phase and shows its message. An end may also have a title of its own, a summary, and buttons to try again
// and to join again.
export function enterPhase(next, message = "", options = {}) {
  const { kind, title, summary, retry, again } = { ...DEFAULTS, ...options };
  document.body.dataset.phase = next;
  // The notice about the feed stays, because it applies to every phase except an end.
  clearNotices(isEnd() ? null : "feed");
  if (!isEnd()) return showNotice("phase", message, kind);
  setText(find("#end h2"), title ?? END_TITLES[next]);
  setText(find("#end-message"), message);
  setText(find("#end-summary"), summary);
  find("#again").hidden = next !== "left" || !again;
  find("#retry").hidden = !retry;
  find("#end").focus();
}
