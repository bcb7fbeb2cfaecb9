// The role of the user in the state of the stream. A simulated room has no other source of it.

import { isCounted } from "./audience.js";
import { IN_AUDIENCE, ON_STAGE } from "./messages.js";
import { showNotice } from "./notices.js";

export class RecordedRole {
  value = null; // null until the state has the user's session

  reset() {
    this.value = null;
  }

  // Reads an applied event. An event that the user has left may be about an earlier session.
  update({ type, data: { participant } }, { identity }) {
    if (participant?.identity === identity && type !== "participant_left") this.value = participant.role;
  }

  // Reads a document that replaces missed events. That of a counted stream has no viewers without a raised hand.
  reload({ document, participants }, { identity }) {
    const own = participants.get(identity);
    if (own && own.state !== "disconnected") this.value = own.role;
    else if (!own && this.value !== null && isCounted(document)) this.value = "viewer";
  }
}

// Returns the participant with a role, and shows a notice if the role has changed: a host has brought the user on stage
// or back to the audience.
export function withRole(participant, role) {
  if (!role || role === participant.role) return participant;
  showNotice("stage", role === "host" ? ON_STAGE : IN_AUDIENCE, role === "host" ? "good" : "info");
  return { ...participant, role };
}
