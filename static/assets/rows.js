// The list of streams: a row for each that is not over.

import { button, confirmed, copyLink, find, icon, make, setText } from "./dom.js";
import { counted, isolated, number, roomLink, showStatus, startedOf, titleOf } from "./words.js";

const ENDED_STAYS_MS = 4_000;

export const idOf = (stream) => stream.streamId ?? stream.id;
const isShown = (stream) => stream.status !== "stopped";

export class Rows {
  // By id. A stopped one stays as its newest version, so that an older page of the list cannot revive it.
  #streams = new Map();
  #rows = new Map();
  #list;
  #search;
  #stop;
  #due = false;

  // `stop` stops the stream of an id.
  constructor(list, search, stop) {
    this.#list = list;
    this.#search = search;
    this.#stop = stop;
    search.addEventListener("input", () => this.#filter());
    // For how long ago they started.
    setInterval(() => this.#rows.forEach((row, id) => this.#fill(row, this.#streams.get(id))), 30_000);
  }

  get isEmpty() {
    return this.#streams.size === 0;
  }

  // Takes a stream document, unless a newer one is known: the list and the feed may arrive in any order.
  apply(stream) {
    const known = this.#streams.get(idOf(stream));
    if (known && known.version >= stream.version) return;
    this.#streams.set(idOf(stream), stream);
    if (isShown(stream)) this.#show(stream);
    else if (known) this.#retire(stream);
  }

  // Takes these streams in place of all that are known.
  startAgain(snapshot) {
    const present = new Set(snapshot.filter(isShown).map(idOf));
    for (const [id, row] of this.#rows) {
      if (present.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    this.#streams.clear();
    for (const stream of snapshot) this.apply(stream);
    this.summarise();
  }

  #show(stream) {
    let row = this.#rows.get(idOf(stream));
    if (!row) {
      row = this.#make(stream);
      this.#rows.set(idOf(stream), row);
      // Ids grow with time: the newest stream comes first.
      const next = [...this.#list.children].find((other) => other.dataset.streamId < idOf(stream));
      this.#list.insertBefore(row, next ?? null);
    }
    this.#fill(row, stream);
    this.summarise();
  }

  #make(stream) {
    const id = idOf(stream);
    const stop = button("stop", "Stop", { class: "stop danger" });
    const invite = button("link", "Invite", { class: "invite" });
    invite.addEventListener("click", () => copyLink(invite, roomLink(this.#streams.get(id), "viewer")));
    stop.addEventListener("click", async () => {
      const title = titleOf(this.#streams.get(id));
      if (!(await confirmed(`Stop “${isolated(title)}”?`, "It ends for everyone who is in it. This cannot be undone.", "Stop stream"))) return;
      stop.disabled = true;
      stop.disabled = await this.#stop(id);
    });
    return make("li", { "data-stream-id": id },
      make("div", { class: "what" },
        make("h3", {}),
        make("p", { class: "meta" }, make("span", { class: "status" }), make("span", { class: "room" }), make("span", { class: "since" })),
      ),
      make("p", { class: "here" }, icon("people"), make("span", { class: "count" }), make("span", { class: "of" }), make("span", { class: "peak" })),
      make("div", { class: "actions" }, make("a", { class: "open button primary", href: roomLink(stream) }, "Open"), invite, stop),
    );
  }

  #fill(row, stream) {
    const title = titleOf(stream);
    const { participantCount: here, peakParticipantCount: peak, maxParticipants: most } = stream;
    setText(row.querySelector("h3"), title);
    showStatus(row.querySelector(".status"), stream.status);
    setText(row.querySelector(".room"), stream.roomName === idOf(stream) ? "" : stream.roomName);
    setText(row.querySelector(".since"), startedOf(stream));
    setText(row.querySelector(".count"), number(here));
    setText(row.querySelector(".of"), most ? `of ${number(most)} here` : "here");
    setText(row.querySelector(".peak"), peak > here ? `peak ${number(peak)}` : "");
    row.toggleAttribute("data-empty", here === 0);
    for (const [selector, verb] of [[".open", "Open"], [".invite", "Invite to"], [".stop", "Stop"]]) {
      row.querySelector(selector).setAttribute("aria-label", `${verb} ${title}`);
    }
    row.hidden = !this.#matches(stream);
  }

  // A stream that ended is shown as ended for a moment, then goes.
  #retire(stream) {
    const row = this.#rows.get(idOf(stream));
    if (!row) return;
    this.#rows.delete(idOf(stream));
    showStatus(row.querySelector(".status"), stream.status);
    row.dataset.ended = "";
    setText(row.querySelector(".count"), 0);
    row.querySelector(".actions").remove();
    setText(find("#news"), `${isolated(titleOf(stream))} has ended.`);
    setTimeout(() => {
      row.remove();
      this.summarise();
    }, ENDED_STAYS_MS);
    this.summarise();
  }

  #matches(stream) {
    return `${titleOf(stream)}\n${stream.roomName}`.toLowerCase().includes(this.#search.value.trim().toLowerCase());
  }

  #filter() {
    for (const [id, row] of this.#rows) row.hidden = !this.#matches(this.#streams.get(id));
    this.summarise();
  }

  // Counts once for many changes at a time.
  summarise() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      this.#summarise();
    });
  }

  #summarise() {
    const shown = [...this.#streams.values()].filter(isShown);
    const people = shown.reduce((sum, stream) => sum + stream.participantCount, 0);
    const totals = `${counted(shown.length, "stream", "streams")}, ${counted(people, "person", "people")} here`;
    setText(find("#totals"), shown.length > 0 ? totals : "");
    const { dataset } = document.body;
    if (dataset.list === "loading" || dataset.list === "failed") return;
    const rows = [...this.#list.children];
    dataset.list = rows.length === 0 ? "empty" : rows.every((row) => row.hidden) ? "nomatch" : "ready";
  }
}
