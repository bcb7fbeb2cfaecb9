// Who is in the stream, and the log of its events.

import { hourOf, make, setText, timeOf } from "./common.js";

const STATE_WORDS = { joining: "Joining", active: "Here", disconnected: "Left" };
const ORDER = { active: 0, joining: 1, disconnected: 2 };
const LOG_LENGTH = 200;

// Someone who never connected is not shown as having left.
const cameAtAll = (person) => person.state !== "disconnected" || person.sid !== null;

export function showPeople(list, people, self, publishing) {
  const shown = people.filter(cameAtAll).sort(
    (a, b) => ORDER[a.state] - ORDER[b.state] || a.role.localeCompare(b.role) || b.joinedAt.localeCompare(a.joinedAt),
  );
  const known = new Map([...list.children].map((row) => [row.dataset.identity, row]));
  const rows = shown.map((person) => {
    const row = known.get(person.identity) ?? makeRow(person.identity);
    const name = person.name || person.identity;
    row.dataset.state = person.state;
    row.dataset.role = person.role;
    setText(row.querySelector(".initial"), [...name][0].toUpperCase());
    setText(row.querySelector(".name"), person.identity === self ? `${name} (you)` : name);
    const role = person.role === "host" ? "Host" : "Viewer";
    const sends = person.state === "active" ? publishing(person.identity) : "";
    setText(row.querySelector(".hint"), [role, sends, times(person)].filter(Boolean).join(" · "));
    setText(row.querySelector(".where"), STATE_WORDS[person.state]);
    return row;
  });
  // Only rows that are not in their place are moved.
  rows.forEach((row, index) => list.children[index] === row || list.insertBefore(row, list.children[index] ?? null));
  while (list.children.length > rows.length) list.lastChild.remove();
}

function times({ state, joinedAt, leftAt }) {
  if (state === "joining") return "";
  return state === "active" ? `since ${hourOf(joinedAt)}` : `${hourOf(joinedAt)} to ${hourOf(leftAt)}`;
}

function makeRow(identity) {
  return make(
    "li",
    { "data-identity": identity },
    make("span", { class: "initial", "aria-hidden": "true" }),
    make("span", {}, make("span", { class: "name" }), make("span", { class: "hint" })),
    make("span", { class: "where" }),
  );
}

export class EventLog {
  #list;
  #last;
  #newest = 0;

  constructor(list, last) {
    this.#list = list;
    this.#last = last;
  }

  // False for an event that was logged already.
  event({ type, seq, cursor, data, timestamp }) {
    if (seq <= this.#newest) return false;
    this.#newest = seq;
    const who = data.participant ? `: ${data.participant.name || data.participant.identity}` : data.reason ? `: ${data.reason}` : "";
    this.#add({ "data-seq": seq }, `#${seq}`, `${type}${who}`, `${timeOf(timestamp)} · cursor ${cursor}`);
    setText(this.#last, `#${seq}`);
    return true;
  }

  // A word about the connection itself.
  note(words) {
    this.#add({ class: "note" }, "", words, timeOf(Date.now()));
  }

  // The events up to this one are in a snapshot.
  skipTo(seq) {
    this.#newest = Math.max(this.#newest, seq);
  }

  #add(attributes, seq, words, details) {
    this.#list.prepend(
      make("li", attributes, make("b", {}, seq), make("span", {}, words), make("span", { class: "hint" }, details)),
    );
    while (this.#list.children.length > LOG_LENGTH) this.#list.lastChild.remove();
  }
}
