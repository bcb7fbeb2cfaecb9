// The page of one stream: the lobby, the room, the end.

import { call as request, health } from "./api.js";
import { Call } from "./call.js";
import { Controls } from "./controls.js";
import { confirmed, copyLink, find, setText } from "./dom.js";
import { showHeader } from "./header.js";
import { Lobby } from "./lobby.js";
import { EventLog } from "./log.js";
import { loadLibrary } from "./media.js";
import { say, sayForNow } from "./notices.js";
import { showPeople } from "./people.js";
import { enter, isEnd, phase } from "./phases.js";
import {
  CONNECTION_LOST, LEFT_REASONS, LIBRARY_MISSING, moreTiles, NO_WEBRTC, NOT_FOLLOWED, problemWords, REFUSALS, STOP_REASONS, UNKNOWN, UNKNOWN_OR_HIDDEN, WEAK,
} from "./room-words.js";
import { Stage } from "./stage.js";
import { Stream } from "./stream.js";
import { askAgain, bearer, joinClaims, onToken } from "./token.js";
import { roomLink, showFeed, summaryOf } from "./words.js";

const REJOIN_AFTER_MS = 3_000;

const query = new URLSearchParams(location.search);
const stream = new Stream(query.get("streamId") ?? "", { changed: draw, event: (event) => log.event(event), reset, feed: feedChanged, over });
const stage = new Stage(find("#stage"));
const log = new EventLog(find("#log"), find("#last"));
const lobby = new Lobby(join);

let me = null; // {identity, name, role}
let service = null; // what `GET /health` said
let call = null; // one's place in LiveKit's room; null where rooms are simulated
let controls = null;

// The end may be heard of twice: from LiveKit at once, and from the feed with the reason.
function over(reason) {
  if (phase() === "error" || (phase() === "stopped" && !STOP_REASONS[reason])) return;
  hangUp();
  finish("stopped", STOP_REASONS[reason], { summary: stream.document ? summaryOf(stream.document) : "" });
}

function finish(end, words, options) {
  lobby.close();
  enter(end, words, options);
}

function fail(error) {
  if (error.status === 404) return gone();
  finish("error", problemWords(error), { retry: true });
}

const gone = () => finish("error", bearer() ? UNKNOWN_OR_HIDDEN : UNKNOWN);

// ---- What the service tells

function reset({ reason, cursor, snapshot }) {
  if (cursor !== null) log.reset(reason, snapshot?.version, cursor);
  if (!isEnd()) sayForNow("feed", "Connected again. The stream was loaded anew.");
}

function feedChanged(state, before, status) {
  showFeed(state);
  if (state === "reconnecting" && before === "open") {
    log.lost();
    if (!isEnd()) say("feed", "The server does not answer. Reconnecting…", "warn");
  }
  if (state === "open" && before === "reconnecting") {
    log.resumed();
    if (!isEnd()) sayForNow("feed", "Connected again. Nothing was missed.");
  }
  // The feed is over: the stream has ended, perhaps so long ago that it is forgotten.
  if (state === "ended" && (status === 204 || status === 404)) over();
  if (state === "ended" && (status === 401 || status === 403)) say("feed", NOT_FOLLOWED, "error");
}

function draw() {
  showHeader(stream.document);
  showPeople(find("#participants"), [...stream.people.values()], me?.identity, (identity) => call?.sending(identity) ?? null);
  find("#nobody").hidden = find("#participants").children.length > 0;
  drawStage();
}

function drawStage() {
  const tiles = phase() !== "live" ? [] : call ? call.tiles() : stream.tiles(me?.identity);
  const more = stage.show(tiles);
  if (phase() === "live") say("quality", call?.quality === "poor" ? WEAK : "", "warn");
  find("#quiet").hidden = phase() !== "live" || tiles.length > 0;
  find("#more").hidden = more === 0;
  setText(find("#more"), moreTiles(more));
  controls?.show({ role: me?.role, simulated: call === null, tiles: tiles.length });
}

// ---- Joining and leaving

// Unique, so that two people of one name do not put each other out.
const identityFor = (name) => `${name.toLowerCase().replace(/\s+/g, "-")}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

async function join({ name, role }) {
  const identity = me?.name === name ? me.identity : identityFor(name);
  me = { identity, name, role, ...joinClaims(stream.document.roomName) };
  const { devices } = lobby;
  lobby.close();
  lobby.busy(true);
  enter("joining", "Joining…");
  try {
    await goIn();
    if (phase() !== "joining") return hangUp();
    enter("live");
    find("#live").focus();
    draw();
    if (me.role === "host" && call) publish(devices);
  } catch (error) {
    hangUp();
    if (phase() === "joining") refused(error);
  } finally {
    lobby.busy(false);
  }
}

async function goIn() {
  const ticket = await ticketFor(me);
  await call?.connect(ticket);
  draw();
}

// A token that the caller has for this very room is itself the way in; any other lets the service make one.
async function ticketFor(person) {
  if (call && joinClaims(stream.document.roomName)) return { wsUrl: service.livekit.url, token: bearer() };
  const { document: ticket } = await request("POST", `${stream.path}/join`, person);
  return ticket;
}

async function publish(devices) {
  if (devices.microphone) await controls.turn("microphone", true);
  if (devices.camera) await controls.turn("camera", true);
}

function refused(error) {
  if (error.code === "stream_not_found") return gone();
  if (error.code === "stream_not_active") return over();
  // Its place was given out, and nobody came.
  if (!error.fields) tellLeft().catch(() => {});
  openLobby(error.fields ? problemWords(error) : REFUSALS[call.refusalOf(error)]);
}

const tellLeft = (options) => request("POST", `${stream.path}/leave`, { identity: me.identity }, options);

function hangUp() {
  call?.hangUp();
  stage.show([]);
}

function disconnected(reason) {
  hangUp();
  if (reason === "over") return over();
  if (LEFT_REASONS[reason]) return finish("left", LEFT_REASONS[reason]);
  if (phase() === "live") rejoin();
}

// LiveKit's own attempts are over. A new token may still open the way, once the server is back.
async function rejoin() {
  say("video", CONNECTION_LOST, "warn");
  await new Promise((resolve) => setTimeout(resolve, REJOIN_AFTER_MS));
  if (phase() !== "live") return;
  const sent = { microphone: find("#mic").hasAttribute("data-on"), camera: find("#camera").hasAttribute("data-on") };
  try {
    await goIn();
    sayForNow("video", "The video is back.");
    if (me.role === "host" && call) publish(sent);
  } catch (error) {
    hangUp();
    const mayPass = error.fields ? [0, 429, 502, 503, 504].includes(error.status) : call.refusalOf(error) === "unreachable";
    if (phase() === "live") mayPass ? rejoin() : refused(error);
  }
}

find("#leave").addEventListener("click", async () => {
  finish("left", "You can join again at any time.");
  hangUp();
  draw();
  // LiveKit tells the service itself; where rooms are simulated nobody else would.
  if (!call) await tellLeft().catch((error) => say("leave", error.message, "warn"));
});

find("#stop").addEventListener("click", async () => {
  if (!(await confirmed("Stop the stream for everyone?", "All who are in it are sent home. This cannot be undone.", "Stop for all"))) return;
  try {
    await request("DELETE", stream.path);
    over("requested");
  } catch (error) {
    say("stop", error.message, "error");
  }
});

find("#view").addEventListener("click", () => {
  stage.switchView();
  draw();
});
find("#invite").addEventListener("click", ({ currentTarget }) => copyLink(currentTarget, roomLink(stream.document, "viewer")));
find("#again").addEventListener("click", () => openLobby());
find("#retry").addEventListener("click", () => {
  askAgain();
  begin();
});

// A page that goes away says so; LiveKit's library does it by itself. Where it comes back from the browser's cache, it starts anew.
window.addEventListener("pagehide", () => phase() === "live" && !call && tellLeft({ keepalive: true }).catch(() => {}));
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

function openLobby(problem) {
  const missing = whatIsMissing();
  enter("lobby", missing ?? problem, { kind: "error" });
  lobby.open({ hasVideo: !missing && call !== null });
  lobby.busy(missing !== null);
}

const hasWebRtc = () => typeof RTCPeerConnection !== "undefined";

// What this browser lacks, if anything.
function whatIsMissing() {
  if (service?.livekit.kind === "simulated") return null;
  if (!hasWebRtc()) return NO_WEBRTC;
  return call ? null : LIBRARY_MISSING;
}

async function prepareCall() {
  service = await health().catch(() => null);
  if (call || service?.livekit.kind === "simulated" || !hasWebRtc()) return;
  const livekit = await loadLibrary();
  if (!livekit) return;
  // The page says what goes wrong in words; the library would write every end of a room to the console as an error.
  livekit.setLogLevel("silent");
  call = new Call(livekit, {
    changed: draw,
    lost: () => say("video", CONNECTION_LOST, "warn"),
    back: () => sayForNow("video", "The video is back."),
    ended: disconnected,
  });
}

async function begin() {
  enter("loading");
  if (!query.get("streamId")) return gone();
  try {
    await stream.load();
  } catch (error) {
    return fail(error);
  }
  stream.follow();
  if (stream.isOver) return over();
  find("#invite").hidden = false;
  await prepareCall();
  controls ??= new Controls(call, stage, (device) => lobby.options(device));
  if (isEnd()) return;
  const hasHost = [...stream.people.values()].some((person) => person.role === "host" && person.state === "active" && person.kind !== "agent");
  const role = ["host", "viewer"].includes(query.get("role")) ? query.get("role") : hasHost ? "viewer" : "host";
  lobby.introduce({ role, fixed: joinClaims(stream.document.roomName) });
  openLobby();
}

onToken(() => ["error", "lobby"].includes(phase()) && begin());
setInterval(() => stream.document && draw(), 30_000);
begin();
