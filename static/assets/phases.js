// The phases of the room page: loading, lobby, joining, live, and its ends: left, stopped, error.

import { find, setText } from "./dom.js";
import { say, sayNothing } from "./notices.js";

const ENDS = { stopped: "This stream has ended", left: "You have left this stream", error: "This stream cannot be shown" };

export const phase = () => document.body.dataset.phase;
export const isEnd = () => phase() in ENDS;

// Enters a phase with words about it; an end may have a summary, and a way to try again.
export function enter(next, words = "", { kind = "info", summary = "", retry = false } = {}) {
  document.body.dataset.phase = next;
  // Whether the server answers is true in every phase but the last.
  sayNothing(isEnd() ? null : "feed");
  if (!isEnd()) return say("phase", words, kind);
  setText(find("#end h2"), ENDS[next]);
  setText(find("#end-words"), words);
  setText(find("#end-summary"), summary);
  find("#again").hidden = next !== "left";
  find("#retry").hidden = !retry;
  find("#end").focus();
}
