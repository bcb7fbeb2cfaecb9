// The list of streams, kept live by one event feed.

import {
  ApiError, call, copyLink, find, health, icon, make, nextPage, number, roomLink, setText, showFeed, showStatus, startedOf, titleOf,
} from "./common.js";
import { follow } from "./live.js";

const PAGE = 200;
const HEALTH_EVERY_MS = 10_000;
const ENDED_STAYS_MS = 4_000;
const PATIENCE_MS = 3_000;

const streams = new Map(); // by id; a stopped one stays as its newest version, so that an older page of the list cannot revive it
const rows = new Map();
const list = find("#streams");
const search = find("#search");

// ---- The list

const isShown = (stream) => stream.status !== "stopped";
const idOf = (stream) => stream.streamId ?? stream.id;

// Takes a stream document, unless a newer one is known: the list and the feed may arrive in any order.
function apply(stream) {
  const known = streams.get(idOf(stream));
  if (known && known.version >= stream.version) return;
  streams.set(idOf(stream), stream);
  if (isShown(stream)) return show(stream);
  if (known) retire(stream);
}

function show(stream) {
  let row = rows.get(idOf(stream));
  if (!row) {
    row = makeRow(stream);
    rows.set(idOf(stream), row);
    // Ids grow with time: the newest stream comes first.
    const next = [...list.children].find((other) => other.dataset.streamId < idOf(stream));
    list.insertBefore(row, next ?? null);
  }
  fill(row, stream);
}

function makeRow(stream) {
  const id = idOf(stream);
  const stop = make("button", { type: "button", class: "stop danger" }, icon("stop"), make("span", { class: "label" }, "Stop"));
  const invite = make("button", { type: "button", class: "invite" }, icon("link"), make("span", { class: "label" }, "Invite"));
  stop.addEventListener("click", () => stopStream(id, stop));
  invite.addEventListener("click", () => copyLink(invite, roomLink(streams.get(id), "viewer")));
  return make(
    "li",
    { "data-stream-id": id },
    make("div", { class: "what" },
      make("h3", {}),
      make("p", { class: "meta" }, make("span", { class: "status" }), make("span", { class: "room" }), make("span", { class: "since" })),
    ),
    make("p", { class: "here" }, icon("people"), make("span", { class: "count" }), make("span", { class: "of" }), make("span", { class: "peak" })),
    make("div", { class: "actions" }, make("a", { class: "open button primary", href: roomLink(stream) }, "Open"), invite, stop),
  );
}

function fill(row, stream) {
  const title = titleOf(stream);
  setText(row.querySelector("h3"), title);
  showStatus(row.querySelector(".status"), stream.status);
  setText(row.querySelector(".room"), stream.roomName === idOf(stream) ? "" : stream.roomName);
  setText(row.querySelector(".since"), startedOf(stream));
  setText(row.querySelector(".count"), stream.participantCount);
  setText(row.querySelector(".of"), stream.maxParticipants ? `of ${number.format(stream.maxParticipants)} here` : "here");
  setText(row.querySelector(".peak"), stream.peakParticipantCount > stream.participantCount ? `peak ${number.format(stream.peakParticipantCount)}` : "");
  for (const [selector, verb] of [[".open", "Open"], [".invite", "Invite to"], [".stop", "Stop"]]) {
    row.querySelector(selector).setAttribute("aria-label", `${verb} ${title}`);
  }
  row.hidden = !matches(stream);
  summarise();
}

// A stream that ended is shown as ended for a moment, then goes.
function retire(stream) {
  const row = rows.get(idOf(stream));
  if (!row) return;
  rows.delete(idOf(stream));
  showStatus(row.querySelector(".status"), stream.status);
  row.dataset.ended = "";
  setText(row.querySelector(".count"), 0);
  row.querySelectorAll("button").forEach((button) => (button.disabled = true));
  setText(find("#news"), `${titleOf(stream)} has ended.`);
  setTimeout(() => {
    row.remove();
    summarise();
  }, ENDED_STAYS_MS);
  summarise();
}

function matches(stream) {
  const wanted = search.value.trim().toLowerCase();
  return `${titleOf(stream)}\n${stream.roomName}`.toLowerCase().includes(wanted);
}

let due = false;

// Once for many changes at a time.
function summarise() {
  if (due) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    summariseNow();
  });
}

function summariseNow() {
  const shown = [...streams.values()].filter(isShown);
  const people = shown.reduce((sum, stream) => sum + stream.participantCount, 0);
  const words = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;
  setText(find("#totals"), shown.length > 0 ? `${words(shown.length, "stream", "streams")}, ${words(people, "person", "people")} here` : "");
  if (document.body.dataset.list === "loading" || document.body.dataset.list === "failed") return;
  const empty = list.children.length === 0;
  const nomatch = !empty && [...list.children].every((row) => row.hidden);
  document.body.dataset.list = empty ? "empty" : nomatch ? "nomatch" : "ready";
}

async function load() {
  try {
    let path = `/streams?limit=${PAGE}`;
    while (path) {
      const { document: page, response } = await call("GET", path);
      page.forEach(apply);
      path = nextPage(response);
    }
    document.body.dataset.list = "ready";
  } catch (error) {
    setText(find("#list-error"), error.message);
    if (streams.size === 0) document.body.dataset.list = "failed";
  }
  summarise();
}

function startAgain(snapshot) {
  const present = new Set(snapshot.map(idOf));
  for (const [id, row] of rows) {
    if (!present.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  streams.clear();
  snapshot.forEach(apply);
  document.body.dataset.list = "ready";
  summarise();
}

// The list is loaded once the feed stands, so that nothing falls between the two; without waiting for it for ever.
let followed = false;
setTimeout(() => followed || load(), PATIENCE_MS);
follow("/events", {
  onEvent: (event) => apply(event.data.stream),
  onReset: ({ snapshot }) => {
    if (snapshot) return startAgain(snapshot);
    startAgain([]);
    load();
  },
  onState: (state) => {
    showFeed(state);
    showHealth();
    if (state !== "open") return;
    if (!followed) load();
    followed = true;
  },
});
find("#retry").addEventListener("click", () => {
  document.body.dataset.list = "loading";
  load();
});
search.addEventListener("input", () => {
  for (const [id, row] of rows) row.hidden = !matches(streams.get(id));
  summarise();
});
setInterval(() => rows.forEach((row, id) => fill(row, streams.get(id))), 30_000);

async function stopStream(id, button) {
  button.disabled = true;
  try {
    await call("DELETE", `/streams/${id}`);
  } catch (error) {
    button.disabled = false;
    setText(find("#news"), error.message);
    fail(error);
  }
}

// ---- Starting

const form = find("#start");

function fail(error) {
  const problem = find("#start-error");
  problem.hidden = !error;
  setText(problem, error?.message ?? "");
  const wrong = error instanceof ApiError ? error.fields.map((field) => field.field) : [];
  for (const input of form.querySelectorAll("input")) input.setAttribute("aria-invalid", wrong.includes(input.name));
}

form.addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const { title, roomName, maxParticipants } = Object.fromEntries(new FormData(form));
  const wanted = {};
  if (title.trim()) wanted.metadata = { title: title.trim() };
  if (roomName.trim()) wanted.roomName = roomName.trim();
  if (maxParticipants) wanted.maxParticipants = Number(maxParticipants);
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  fail(null);
  find("#started").hidden = true;
  try {
    const { document: stream, response } = await call("POST", "/streams", wanted);
    apply(stream);
    form.reset();
    announce(stream, response.status === 201);
  } catch (error) {
    fail(error);
  } finally {
    button.disabled = false;
  }
});

function announce(stream, isNew) {
  const words = isNew ? "is live. Bring your camera, or invite others." : "is live already under that room name.";
  const invite = make("button", { type: "button" }, icon("link"), make("span", { class: "label" }, "Invite"));
  invite.addEventListener("click", () => copyLink(invite, roomLink(stream, "viewer")));
  find("#started").replaceChildren(
    make("p", {}, make("strong", {}, titleOf(stream)), ` ${words}`),
    make("div", { class: "actions" }, make("a", { class: "button primary", href: roomLink(stream, "host") }, "Join as host"), invite),
  );
  find("#started").hidden = false;
}

// ---- The service

const KINDS = { livekit: "LiveKit server", simulated: "Simulated", redis: "Redis", memory: "In memory", pubsub: "Live" };

async function showHealth() {
  try {
    const { livekit, store, feed, instance, version } = await health();
    for (const [id, part] of Object.entries({ livekit, store, events: feed })) {
      const cell = find(`#${id}`);
      cell.dataset.status = part.status;
      setText(cell, part.status === "up" ? (KINDS[part.kind] ?? part.kind) : "Not answering");
    }
    setText(find("#instance"), `${instance.slice(-8)} · v${version}`);
    find("#instance").title = instance;
  } catch {
    for (const id of ["livekit", "store", "events"]) {
      find(`#${id}`).dataset.status = "down";
      setText(find(`#${id}`), "Unknown");
    }
    setText(find("#instance"), "Not answering");
  }
}

setInterval(() => document.hidden || showHealth(), HEALTH_EVERY_MS);
showHealth();
