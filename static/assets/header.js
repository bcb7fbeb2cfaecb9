// The header of the room page: the stream's title, status, time live, numbers of participants, and start time.

import { formatWatching, isCounted } from "./audience.js";
import { find, setText, setTime } from "./dom.js";
import { showElapsed } from "./elapsed.js";
import { formatNumber, formatStart, titleOf } from "./format.js";
import { showStatus } from "./status.js";

export function showHeader(stream) {
  const title = titleOf(stream);
  document.title = `${title} · Livestream`;
  setText(find("#title"), title);
  showStatus(find("#status"), stream);
  find("#status").hidden = false;
  showElapsed(find("#live-time"), stream.status === "active" && !stream.backstage ? stream.liveAt : null);
  setText(find("#count"), formatNumber(stream.participantCount));
  setText(find("#limit"), stream.maxParticipants ? ` of ${formatNumber(stream.maxParticipants)}` : "");
  // Almost all participants of a counted stream are viewers, so their sum is useful only beside a limit.
  find("#here").hidden = isCounted(stream) && !stream.maxParticipants;
  find("#watching").hidden = !isCounted(stream);
  setText(find("#watching"), formatWatching(stream));
  setTime(find("#since"), stream.startedAt ?? stream.createdAt, formatStart(stream));
}
