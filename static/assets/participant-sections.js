// The participants on the room page: the list of participants or the stage, the raised hands, the audience.

import { showAudience } from "./audience.js";
import { find } from "./dom.js";
import { showHands } from "./hands.js";
import { showParticipants } from "./participants.js";

// `local` is the user, or null. `isModerator` is true for a host who may moderate.
export function showParticipantSections(stream, { local, isModerator, sourcesOf, moderation }) {
  const participants = [...stream.participants.values()];
  const makeMenu = (participant) => moderation.makeMenu(participant);
  showHands(participants, isModerator ? (identity) => moderation.invite(identity) : null);
  const options = { ownIdentity: local?.identity, sourcesOf, makeMenu, isModerator };
  showParticipants(find("#participants"), participants, options);
  showAudience(stream.document, stream.participants, local);
  find("#no-participants").hidden = find("#participants").children.length > 0;
  find("#more-participants").hidden = !stream.participantsTruncated;
}
