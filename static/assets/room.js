// The page of one stream: loads it, joins and leaves it, and shows why it ended. phase.js has the phases.

import { ApiError, fetchHealth, request } from "./api.js";
import { showAudience } from "./audience.js";
import { Controls } from "./controls.js";
import { confirmAction, copyLink, find, setText } from "./dom.js";
import { EventLog } from "./event-log.js";
import { formatSummary, roomLink } from "./format.js";
import { showHeader } from "./header.js";
import { createLiveKitRoom, hasWebRtc } from "./livekit-room.js";
import { Lobby } from "./lobby.js";
import {
  CONNECT_ERRORS, CONNECTION_LOST, CONNECTION_RESTORED, FEED_FORBIDDEN, hiddenTilesMessage, LEFT_REASONS, messageFor,
  NO_LIBRARY, NO_WEBRTC, NOT_FOUND, NOT_FOUND_OR_NOT_VISIBLE, POOR_CONNECTION, STOP_REASONS,
} from "./messages.js";
import { showNotice, showTransientNotice } from "./notices.js";
import { showParticipants } from "./participants.js";
import { makeParticipant, ownJoinClaims, proposedRole, reportLeft, requestAccess } from "./participation.js";
import { enterPhase, isEnd, phase } from "./phase.js";
import { showFeedState } from "./status.js";
import { Stream } from "./stream.js";
import { VideoTiles } from "./tiles.js";
import { allowPrompt, bearerToken, onTokenChange } from "./token.js";

const REJOIN_DELAY_MS = 3_000;
const REFRESH_MS = 30_000;

const query = new URLSearchParams(location.search);
const stream = new Stream(query.get("streamId") ?? "", {
  onChange: draw,
  onEvent: (event) => log.addEvent(event),
  onReset: handleReset,
  onFeedState: handleFeedState,
  onEnd: showStopped,
});
const tiles = new VideoTiles(find("#tiles"));
const log = new EventLog(find("#log"), find("#last-event"));
const lobby = new Lobby(join);

let localParticipant = null; // {identity, name, role}
let health = null; // the summary of `GET /health`
let room = null; // a LiveKitRoom; null if rooms are simulated, or if this browser cannot join
let controls = null;

// ---- Ends

// Called twice for most ends: by LiveKit at once, and by the feed with the reason.
function showStopped(reason) {
  if (phase() === "error" || (phase() === "stopped" && !STOP_REASONS[reason])) return;
  disconnect();
  finish("stopped", STOP_REASONS[reason], { summary: stream.document ? formatSummary(stream.document) : "" });
}

function finish(end, message, options) {
  lobby.close();
  enterPhase(end, message, options);
}

function showError(error) {
  if (error.status === 404) return showNotFound();
  finish("error", messageFor(error), { retry: true });
}

const showNotFound = () => finish("error", bearerToken() ? NOT_FOUND_OR_NOT_VISIBLE : NOT_FOUND);

// ---- The feed

function handleReset({ reason, cursor, snapshot }) {
  if (cursor !== null) log.addReset(reason, snapshot?.version, cursor);
  if (!isEnd()) showTransientNotice("feed", "Connected again. The stream was reloaded.");
}

function handleFeedState(state, previous, status) {
  showFeedState(state);
  if (state === "reconnecting" && previous === "open") {
    log.addDisconnect();
    if (!isEnd()) showNotice("feed", "The server does not answer. Reconnecting…", "warn");
  }
  if (state === "open" && previous === "reconnecting") {
    log.addReconnect();
    if (!isEnd()) showTransientNotice("feed", "Connected again. Nothing was missed.");
  }
  // 204: the stream has ended. 404: it has also expired.
  if (state === "ended" && (status === 204 || status === 404)) showStopped();
  if (state === "ended" && (status === 401 || status === 403)) showNotice("feed", FEED_FORBIDDEN, "error");
}

// ---- Drawing

function draw() {
  const sourcesOf = (identity) => room?.sourcesOf(identity) ?? null;
  showHeader(stream.document);
  showParticipants(find("#participants"), [...stream.participants.values()], localParticipant?.identity, sourcesOf);
  showAudience(stream.document, stream.participants, localParticipant);
  find("#no-participants").hidden = find("#participants").children.length > 0;
  find("#more-participants").hidden = !stream.participantsTruncated;
  drawVideo();
}

function drawVideo() {
  const isLive = phase() === "live";
  const all = isLive ? currentTiles() : [];
  const hiddenCount = tiles.show(all);
  if (isLive) showNotice("quality", room?.quality === "poor" ? POOR_CONNECTION : "", "warn");
  find("#no-video").hidden = !isLive || all.length > 0;
  find("#hidden-tiles").hidden = hiddenCount === 0;
  setText(find("#hidden-tiles"), hiddenTilesMessage(hiddenCount));
  controls?.show({ role: localParticipant?.role, isSimulated: room === null, tileCount: all.length });
}

const currentTiles = () => (room ? room.tiles() : stream.tiles(localParticipant?.identity));

// ---- Joining

async function join(chosen) {
  localParticipant = makeParticipant(stream, chosen, localParticipant);
  const { devices } = lobby;
  lobby.close();
  lobby.setBusy(true);
  enterPhase("joining", "Joining…");
  try {
    await connect();
    // The stream may have ended meanwhile.
    if (phase() !== "joining") return disconnect();
    enterPhase("live");
    find("#live").focus();
    draw();
    publish(devices);
  } catch (error) {
    disconnect();
    if (phase() === "joining") handleJoinError(error);
  } finally {
    lobby.setBusy(false);
  }
}

async function connect() {
  const access = await requestAccess(stream, localParticipant, room && health?.livekit.url);
  await room?.connect(access);
  draw();
}

async function publish({ microphone, camera }) {
  if (localParticipant.role !== "host" || !room) return;
  if (microphone) await controls.setDevice("microphone", true);
  if (camera) await controls.setDevice("camera", true);
}

function handleJoinError(error) {
  if (error.code === "stream_not_found") return showNotFound();
  if (error.code === "stream_not_active") return showStopped();
  const isApiError = error instanceof ApiError;
  // The service has issued a token and counts the participant as joining, but LiveKit was not reached.
  if (!isApiError) reportLeft(stream, localParticipant).catch(() => {});
  openLobby(isApiError ? messageFor(error) : CONNECT_ERRORS[room.errorKind(error)]);
}

// ---- Leaving

function disconnect() {
  room?.disconnect();
  tiles.show([]);
}

function handleDisconnect(reason) {
  disconnect();
  if (reason === "room_deleted") return showStopped();
  if (LEFT_REASONS[reason]) return finish("left", LEFT_REASONS[reason]);
  if (phase() === "live") rejoin();
}

// Joins again after LiveKit's library has given up, until it succeeds or fails permanently.
async function rejoin() {
  showNotice("video", CONNECTION_LOST, "warn");
  await new Promise((resolve) => setTimeout(resolve, REJOIN_DELAY_MS));
  if (phase() !== "live") return;
  const wasOn = (button) => find(button).hasAttribute("data-on");
  const published = { microphone: wasOn("#mic"), camera: wasOn("#camera") };
  try {
    await connect();
    showTransientNotice("video", CONNECTION_RESTORED);
    publish(published);
  } catch (error) {
    disconnect();
    if (phase() === "live") isTransient(error) ? rejoin() : handleJoinError(error);
  }
}

function isTransient(error) {
  if (error instanceof ApiError) return error.isTransient;
  return room.errorKind(error) === "unreachable";
}

find("#leave").addEventListener("click", async () => {
  finish("left", "You can join again at any time.");
  disconnect();
  draw();
  // LiveKit reports departures to the service by webhook; a simulated room does not.
  if (!room) await reportLeft(stream, localParticipant).catch((error) => showNotice("leave", error.message, "warn"));
});

find("#stop").addEventListener("click", async () => {
  const consequence = "All participants are disconnected. This cannot be undone.";
  if (!(await confirmAction("Stop the stream for everyone?", consequence, "Stop for all"))) return;
  try {
    await request("DELETE", stream.path);
    showStopped("requested");
  } catch (error) {
    showNotice("stop", error.message, "error");
  }
});

// LiveKit's library disconnects on pagehide by itself.
window.addEventListener("pagehide", () => {
  if (phase() === "live" && !room) reportLeft(stream, localParticipant, { keepalive: true }).catch(() => {});
});
// A page from the back/forward cache has lost its connections, so it is loaded again.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

// ---- Other buttons

find("#view").addEventListener("click", () => {
  tiles.toggleView();
  draw();
});
find("#invite").addEventListener("click", () => copyLink(find("#invite"), roomLink(stream.document, "viewer")));
find("#again").addEventListener("click", () => openLobby());
find("#retry").addEventListener("click", () => {
  allowPrompt();
  start();
});

// ---- Start

function openLobby(error) {
  const missing = missingFeature();
  enterPhase("lobby", missing ?? error, { kind: "error" });
  lobby.open({ hasVideo: !missing && room !== null });
  lobby.setBusy(missing !== null);
}

const isSimulated = () => health?.livekit.kind === "simulated";

// Returns a message if this browser cannot join, otherwise null.
function missingFeature() {
  if (isSimulated()) return null;
  if (!hasWebRtc()) return NO_WEBRTC;
  return room ? null : NO_LIBRARY;
}

async function prepareRoom() {
  health = await fetchHealth().catch(() => null);
  if (room || isSimulated()) return;
  room = await createLiveKitRoom({
    onChange: draw,
    onReconnecting: () => showNotice("video", CONNECTION_LOST, "warn"),
    onReconnected: () => showTransientNotice("video", CONNECTION_RESTORED),
    onDisconnected: handleDisconnect,
  });
}

async function start() {
  enterPhase("loading");
  if (!query.get("streamId")) return showNotFound();
  try {
    await stream.load();
  } catch (error) {
    return showError(error);
  }
  stream.follow();
  if (stream.hasEnded) return showStopped();
  find("#invite").hidden = false;
  await prepareRoom();
  controls ??= new Controls(room, tiles, (device) => lobby.deviceOptions(device));
  // The stream may have ended meanwhile.
  if (isEnd()) return;
  lobby.fill({ role: proposedRole(stream, query.get("role")), fixed: ownJoinClaims(stream) });
  openLobby();
}

onTokenChange(() => ["error", "lobby"].includes(phase()) && start());
// Updates the age of the stream.
setInterval(() => stream.document && draw(), REFRESH_MS);
start();
