// Who is in the stream, since when, and what each of them sends.

import { icon, make, setText, setTime } from "./dom.js";
import { timeOf } from "./words.js";

const STATE_WORDS = { joining: "Joining", active: "Here", disconnected: "Left" };
const ROLE_WORDS = { host: "Host", viewer: "Viewer" };
const ORDER = { active: 0, joining: 1, disconnected: 2 };

// What may be sent: as the service names it, the icon, the word.
const SENDS = [
  ["camera", "camera", "camera"],
  ["microphone", "mic", "microphone"],
  ["screen_share", "screen", "screen"],
];

// Someone who never connected is not shown as having left.
const cameAtAll = (person) => person.state !== "disconnected" || person.sid !== null;

// `sending` gives the sources that one sends right now, or null where only the service's own word is known.
export function showPeople(list, people, self, sending) {
  const shown = people.filter(cameAtAll).sort(
    (a, b) => ORDER[a.state] - ORDER[b.state] || a.role.localeCompare(b.role) || b.joinedAt.localeCompare(a.joinedAt),
  );
  const known = new Map([...list.children].map((row) => [row.dataset.identity, row]));
  const rows = shown.map((person) => {
    const row = known.get(person.identity) ?? makeRow(person.identity);
    fill(row, person, person.identity === self, sending(person.identity) ?? told(person));
    return row;
  });
  // Only rows that are not in their place are moved.
  rows.forEach((row, index) => list.children[index] === row || list.insertBefore(row, list.children[index] ?? null));
  while (list.children.length > rows.length) list.lastChild.remove();
}

const told = (person) => (person.tracks ?? []).filter((track) => !track.muted).map((track) => track.source);

function fill(row, person, isSelf, sources) {
  const name = person.name || person.identity;
  row.dataset.state = person.state;
  row.dataset.role = person.role;
  setText(row.querySelector(".initial"), [...name][0].toUpperCase());
  setText(row.querySelector(".name"), isSelf ? `${name} (you)` : name);
  setText(row.querySelector(".role"), ROLE_WORDS[person.role] ?? person.role);
  for (const [source] of SENDS) {
    row.querySelector(`[data-source="${source}"]`).hidden = person.state !== "active" || !sources.includes(source);
  }
  row.querySelector(".came").parentElement.hidden = person.state === "joining";
  setTime(row.querySelector(".came"), person.joinedAt, timeOf(person.joinedAt));
  row.querySelector(".went").hidden = !person.leftAt;
  if (person.leftAt) setTime(row.querySelector(".went"), person.leftAt, timeOf(person.leftAt));
  setText(row.querySelector(".where"), STATE_WORDS[person.state]);
}

function makeRow(identity) {
  const sends = SENDS.map(([source, picture, word]) =>
    make("span", { "data-source": source, title: `Sends ${word}` }, icon(picture), make("span", { class: "unseen" }, word)),
  );
  return make("li", { "data-identity": identity },
    make("span", { class: "initial", "aria-hidden": "true" }),
    make("div", {},
      make("p", { class: "name" }),
      make("p", { class: "hint" },
        make("span", { class: "role" }),
        make("span", {}, " · joined ", make("time", { class: "came" })),
      ),
    ),
    make("div", { class: "now" },
      make("span", { class: "where" }),
      make("time", { class: "went hint" }),
      make("span", { class: "sends" }, ...sends),
    ),
  );
}
