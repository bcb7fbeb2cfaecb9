// How this page takes part in a stream: its participant, its access to the room, its departure.

import { request } from "./api.js";
import { bearerToken, joinClaims } from "./token.js";

// Returns the participant of the caller's token, null unless it is a join token for this stream's room.
export const ownJoinClaims = (stream) => joinClaims(stream.document.roomName);

// Returns the role in the URL, otherwise host if the stream has no host yet.
export function proposedRole(stream, requested) {
  if (["host", "viewer"].includes(requested)) return requested;
  return stream.hosts.length > 0 ? "viewer" : "host";
}

// Makes an identity. Adds a random part, because LiveKit disconnects a participant whose identity joins again.
export function identityFor(name) {
  const [random] = crypto.getRandomValues(new Uint32Array(1));
  return `${name.toLowerCase().replace(/\s+/g, "-")}-${random.toString(36)}`;
}

const identityKey = (stream) => `identity ${stream.path}`;

// Keeps the identity of a blocked user for this tab, so that the page stays blocked after it is loaded again.
export function keepIdentity(stream, { identity }) {
  try {
    sessionStorage.setItem(identityKey(stream), identity);
  } catch {
    // The browser forbids storage: a page that is loaded again is another participant.
  }
}

function keptIdentity(stream) {
  try {
    return sessionStorage.getItem(identityKey(stream));
  } catch {
    return null;
  }
}

// Returns the participant {identity, name, role} that joins. It keeps the identity of the previous one of this name.
export function makeParticipant(stream, { name, role }, previous) {
  const known = keptIdentity(stream) ?? (previous?.name === name ? previous.identity : null);
  const identity = known ?? identityFor(name);
  return { identity, name, role, ...ownJoinClaims(stream) };
}

// Returns {wsUrl, token, role}. A caller's token that is a join token for this room is used as it is, with `ownWsUrl`,
// unless rooms are simulated. The role is absent then.
export async function requestAccess(stream, participant, ownWsUrl) {
  if (ownWsUrl && ownJoinClaims(stream)) return { wsUrl: ownWsUrl, token: bearerToken() };
  const { body } = await request("POST", `${stream.path}/join`, participant);
  return body;
}

export function reportLeft(stream, { identity }, options) {
  return request("POST", `${stream.path}/leave`, { identity }, options);
}
