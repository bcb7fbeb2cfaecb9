// The viewers of the room page: of a counted stream, the list has the stage, and the viewers are a number below it.

import { find, setText } from "./dom.js";
import { formatCount, formatNumber } from "./format.js";
import { phase } from "./phase.js";

// The count can change each second, which a screen reader must not read out.
const ANNOUNCE_INTERVAL_MS = 20_000;

let announcement = "";
let timer = null; // until it fires, nothing is announced

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
  if (stream.status === "active") announce(stream.participantCounts);
}

// Announces the newest number, at most once in an interval.
function announce({ viewers }) {
  announcement = `${formatCount(viewers, "person is", "people are")} watching.`;
  if (timer === null) announceNewest();
}

function announceNewest() {
  timer = null;
  const region = find("#audience-announcement");
  if (region.textContent === announcement) return;
  setText(region, announcement);
  timer = setTimeout(announceNewest, ANNOUNCE_INTERVAL_MS);
}
