// The list of streams: one row for each stream that has not ended.

import { confirmAction, copyLink, find, make, makeButton, makeIcon, setText } from "./dom.js";
import { formatCount, formatNumber, formatStart, isolate, roomLink, titleOf } from "./format.js";
import { showStatus } from "./status.js";

const ENDED_ROW_MS = 4_000;
const REFRESH_MS = 30_000;

// Events name the id `streamId`, documents `id`.
const idOf = (stream) => stream.streamId ?? stream.id;
const formatRoles = ({ participantCount, participantCounts: { hosts, viewers } }) =>
  participantCount > 0 ? `${formatCount(hosts, "host", "hosts")}, ${formatCount(viewers, "viewer", "viewers")}` : "";
const isListed = (stream) => stream.status !== "stopped";

export class StreamList {
  // By id. A stopped stream stays, because its version rejects older pages of the list that arrive later.
  #streams = new Map();
  #rows = new Map(); // by id
  #list;
  #search;
  #stopStream;
  #isSummaryQueued = false;

  // `stopStream(id)` stops a stream, and resolves to false if it cannot be stopped.
  constructor(list, search, stopStream) {
    this.#list = list;
    this.#search = search;
    this.#stopStream = stopStream;
    search.addEventListener("input", () => this.#filter());
    // Updates the ages of the streams.
    setInterval(() => this.#rows.forEach((row, id) => this.#fillRow(row, this.#streams.get(id))), REFRESH_MS);
  }

  get isEmpty() {
    return this.#streams.size === 0;
  }

  // Applies a stream document, unless a newer version is known. List pages and events arrive in any order.
  apply(stream) {
    const id = idOf(stream);
    const known = this.#streams.get(id);
    if (known && known.version >= stream.version) return this.#addMetadata(known, stream);
    // An event omits what it does not change, for example large metadata.
    const merged = { ...known, ...stream };
    if (stream.metadata) merged.metadataVersion = stream.version;
    this.#streams.set(id, merged);
    if (isListed(merged)) this.#show(merged);
    else if (known) this.#end(merged);
  }

  // Takes the metadata of an older document if it is newer than the known metadata: the stream may be known from events
  // without metadata, or with metadata of an even older document.
  #addMetadata(known, { metadata, version }) {
    if (!metadata || known.metadataVersion >= version) return;
    known.metadata = metadata;
    known.metadataVersion = version;
    if (isListed(known)) this.#show(known);
  }

  // Replaces all streams.
  replaceAll(streams) {
    const listed = new Set(streams.filter(isListed).map(idOf));
    for (const [id, row] of this.#rows) {
      if (listed.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    this.#streams.clear();
    for (const stream of streams) this.apply(stream);
    this.updateSummary();
  }

  #show(stream) {
    this.#fillRow(this.#rows.get(idOf(stream)) ?? this.#insertRow(stream), stream);
    this.updateSummary();
  }

  #insertRow(stream) {
    const id = idOf(stream);
    const row = this.#makeRow(stream);
    this.#rows.set(id, row);
    // Ids grow with time, so the newest stream is first.
    const next = [...this.#list.children].find((other) => other.dataset.streamId < id);
    this.#list.insertBefore(row, next ?? null);
    return row;
  }

  #makeRow(stream) {
    const id = idOf(stream);
    const open = make("a", { class: "open button primary", href: roomLink(stream) }, "Open");
    const invite = makeButton("link", "Invite", { class: "invite" });
    const stop = makeButton("stop", "Stop", { class: "stop danger" });
    invite.addEventListener("click", () => copyLink(invite, roomLink(this.#streams.get(id), "viewer")));
    stop.addEventListener("click", () => this.#confirmStop(id, stop));
    const span = (name) => make("span", { class: name });
    return make("li", { "data-stream-id": id },
      make("div", {},
        make("h3", {}),
        make("p", { class: "meta" }, span("status"), span("room"), span("since")),
      ),
      make("p", { class: "counts" }, makeIcon("people"), span("count"), span("of"), span("roles"), span("peak")),
      make("div", { class: "actions" }, open, invite, stop),
    );
  }

  async #confirmStop(id, button) {
    const title = isolate(titleOf(this.#streams.get(id)));
    const consequence = "It ends for all participants. This cannot be undone.";
    if (!(await confirmAction(`Stop “${title}”?`, consequence, "Stop stream"))) return;
    button.disabled = true;
    button.disabled = await this.#stopStream(id);
  }

  #fillRow(row, stream) {
    const title = titleOf(stream);
    const { participantCount: count, peakParticipantCount: peak, maxParticipants: limit } = stream;
    setText(row.querySelector("h3"), title);
    showStatus(row.querySelector(".status"), stream);
    setText(row.querySelector(".room"), stream.roomName === idOf(stream) ? "" : stream.roomName);
    setText(row.querySelector(".since"), formatStart(stream));
    setText(row.querySelector(".count"), formatNumber(count));
    setText(row.querySelector(".of"), limit ? `of ${formatNumber(limit)} here` : "here");
    setText(row.querySelector(".roles"), formatRoles(stream));
    setText(row.querySelector(".peak"), peak > count ? `peak ${formatNumber(peak)}` : "");
    row.toggleAttribute("data-empty", count === 0);
    for (const [selector, verb] of [[".open", "Open"], [".invite", "Invite to"], [".stop", "Stop"]]) {
      row.querySelector(selector).setAttribute("aria-label", `${verb} ${title}`);
    }
    row.hidden = !this.#matches(stream);
  }

  // Shows a stream as ended for four seconds, then removes its row.
  #end(stream) {
    const id = idOf(stream);
    const row = this.#rows.get(id);
    if (!row) return;
    this.#rows.delete(id);
    showStatus(row.querySelector(".status"), stream);
    row.dataset.ended = "";
    setText(row.querySelector(".count"), 0);
    setText(row.querySelector(".roles"), "");
    row.querySelector(".actions").remove();
    setText(find("#announcement"), `${isolate(titleOf(stream))} has ended.`);
    setTimeout(() => {
      row.remove();
      this.updateSummary();
    }, ENDED_ROW_MS);
    this.updateSummary();
  }

  #matches(stream) {
    const text = `${titleOf(stream)}\n${stream.roomName}`.toLowerCase();
    return text.includes(this.#search.value.trim().toLowerCase());
  }

  #filter() {
    for (const [id, row] of this.#rows) row.hidden = !this.#matches(this.#streams.get(id));
    this.updateSummary();
  }

  // Updates the totals and the empty state. Several calls in one task cause one update.
  updateSummary() {
    if (this.#isSummaryQueued) return;
    this.#isSummaryQueued = true;
    queueMicrotask(() => {
      this.#isSummaryQueued = false;
      this.#showSummary();
    });
  }

  #showSummary() {
    const listed = [...this.#streams.values()].filter(isListed);
    const participants = listed.reduce((sum, stream) => sum + stream.participantCount, 0);
    const streams = formatCount(listed.length, "stream", "streams");
    const totals = `${streams}, ${formatCount(participants, "person", "people")} here`;
    setText(find("#totals"), listed.length > 0 ? totals : "");
    const { dataset } = document.body;
    if (dataset.list === "loading" || dataset.list === "failed") return;
    const rows = [...this.#list.children];
    dataset.list = rows.length === 0 ? "empty" : rows.every((row) => row.hidden) ? "nomatch" : "ready";
  }
}
