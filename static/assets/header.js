// The head of the room page: what this stream is, since when, and how many are here.

import { find, setText, setTime } from "./dom.js";
import { number, showStatus, startedOf, titleOf } from "./words.js";

export function showHeader(stream) {
  const title = titleOf(stream);
  document.title = `${title} · Livestream`;
  setText(find("#title"), title);
  showStatus(find("#status"), stream.status);
  find("#status").hidden = false;
  setText(find("#count"), number(stream.participantCount));
  setText(find("#most"), stream.maxParticipants ? ` of ${number(stream.maxParticipants)}` : "");
  setTime(find("#since"), stream.startedAt ?? stream.createdAt, startedOf(stream));
}
