// The viewers of the room page: of a counted stream, the list has the stage, and the viewers are a number below it.

import { makeAnnouncer } from "./announcer.js";
import { find, setText } from "./dom.js";
import { formatCount, formatNumber } from "./format.js";
import { phase } from "./phase.js";

const announce = makeAnnouncer(find("#audience-announcement"));

export const isCounted = (stream) => stream.audience === "counted";
export const formatWatching = ({ participantCounts }) => `${formatNumber(participantCounts.viewers)} watching`;

// Shows the number of viewers, and whether the user is one of them. `participants` are those on the list, by identity;
// `local` is the user, or null.
export function showAudience(stream, participants, local) {
  const counted = isCounted(stream);
  setText(find("#participants-heading"), counted ? "On stage" : "Participants");
  setText(find("#no-participants"), counted ? "No host on stage yet." : "No participants yet.");
  find("#audience").hidden = !counted;
  if (!counted) return;
  setText(find("#viewers"), formatWatching(stream));
  const isWatching = phase() === "live" && local?.role === "viewer" && !participants.has(local.identity);
  setText(find("#own-name"), isWatching ? local.name || local.identity : "");
  find("#own-presence").hidden = !isWatching;
  const { viewers } = stream.participantCounts;
  if (stream.status === "active") announce(`${formatCount(viewers, "person is", "people are")} watching.`);
}
