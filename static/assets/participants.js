// The list of participants: state, role, times, and the sources that each one publishes.

import { isAddressable } from "./api.js";
import { arrangeRows, make, makeIcon, setText, setTime } from "./dom.js";
import { formatTime, isolate } from "./format.js";

const STATE_LABELS = { joining: "Joining", active: "Here", disconnected: "Left" };
const ROLE_LABELS = { host: "Host", viewer: "Viewer" };
const STATE_ORDER = { active: 0, joining: 1, disconnected: 2 };

const SOURCES = [
  { source: "camera", icon: "camera", label: "camera" },
  { source: "microphone", icon: "mic", label: "microphone" },
  { source: "screen_share", icon: "screen", label: "screen" },
];

// False for a participant that got a token and never connected: it has not left either.
const hasConnected = (participant) => participant.state !== "disconnected" || participant.sid !== null;

const byStateRoleAndTime = (a, b) =>
  STATE_ORDER[a.state] - STATE_ORDER[b.state] || a.role.localeCompare(b.role) ||
  Number(!a.handRaisedAt) - Number(!b.handRaisedAt) || b.joinedAt.localeCompare(a.joinedAt);

// Updates the rows of the list. `sourcesOf(participant)` returns the sources that a participant sends.
// `makeMenu(participant)` returns a button with its menu, which `isModerator` shows in the rows of others.
export function showParticipants(list, participants, { ownIdentity, sourcesOf, makeMenu, isModerator }) {
  const shown = participants.filter(hasConnected).sort(byStateRoleAndTime);
  const existing = new Map([...list.children].map((row) => [row.dataset.identity, row]));
  const rows = shown.map((participant) => {
    const { identity } = participant;
    const row = existing.get(identity) ?? makeRow(identity, makeMenu(participant));
    fillRow(row, participant, identity === ownIdentity, sourcesOf(participant));
    row.querySelector(".more").hidden = !isModerator || identity === ownIdentity || !isAddressable(identity);
    return row;
  });
  arrangeRows(list, rows);
}

// The sources that the service has recorded, for a participant that the LiveKit library does not list.
export const recordedSources = ({ tracks = [] }) => tracks.filter((track) => !track.muted).map((track) => track.source);

function fillRow(row, participant, isSelf, sources) {
  const { state, role, joinedAt, leftAt } = participant;
  const name = participant.name || participant.identity;
  row.dataset.state = state;
  row.dataset.role = role;
  setText(row.querySelector(".initial"), [...name][0].toUpperCase());
  setText(row.querySelector(".name"), isSelf ? `${name} (you)` : name);
  for (const one of row.querySelectorAll(".more, .menu")) one.ariaLabel = `Actions for ${isolate(name)}`;
  setText(row.querySelector(".role"), ROLE_LABELS[role] ?? role);
  for (const { source } of SOURCES) {
    row.querySelector(`[data-source="${source}"]`).hidden = state !== "active" || !sources.includes(source);
  }
  row.querySelector(".hand").hidden = !participant.handRaisedAt;
  row.querySelector(".joined-at").parentElement.hidden = state === "joining";
  setTime(row.querySelector(".joined-at"), joinedAt, formatTime(joinedAt));
  row.querySelector(".left-at").hidden = !leftAt;
  if (leftAt) setTime(row.querySelector(".left-at"), leftAt, formatTime(leftAt));
  setText(row.querySelector(".presence"), STATE_LABELS[state]);
}

const makeSource = ({ source, icon, label }) =>
  make("span", { "data-source": source, title: `Sends ${label}` },
    makeIcon(icon),
    make("span", { class: "visually-hidden" }, label),
  );

const makeHand = () =>
  make("span", { class: "hand", title: "Has raised a hand" },
    makeIcon("hand"),
    make("span", { class: "visually-hidden" }, "Has raised a hand"),
  );

const makeRow = (identity, menu) =>
  make("li", { "data-identity": identity },
    make("span", { class: "initial", "aria-hidden": "true" }),
    make("div", {},
      make("p", { class: "name" }),
      make("p", { class: "hint" },
        make("span", { class: "role" }),
        make("span", {}, " · joined ", make("time", { class: "joined-at" })),
      ),
    ),
    make("div", { class: "activity" },
      make("span", { class: "presence" }),
      make("time", { class: "left-at hint" }),
      make("span", { class: "sources" }, makeHand(), ...SOURCES.map(makeSource)),
    ),
    ...menu,
  );
