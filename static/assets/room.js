// The page of one stream: loads it, joins and leaves it, and shows why it ended. phase.js has the phases.

import { ApiError, fetchHealth } from "./api.js";
import { BroadcastPanel } from "./broadcast-panel.js";
import { Controls } from "./controls.js";
import { find, setText } from "./dom.js";
import { Ends } from "./ends.js";
import { EventLog } from "./event-log.js";
import { isSimulated, missingFeature } from "./features.js";
import { noteFeedState, noteReset } from "./feed-notices.js";
import { showHeader } from "./header.js";
import { createLiveKitRoom } from "./livekit-room.js";
import { Lobby } from "./lobby.js";
import {
  CONNECT_ERRORS, CONNECTION_LOST, CONNECTION_RESTORED, hiddenTilesMessage, LEFT_REASONS, messageFor, POOR_CONNECTION,
} from "./messages.js";
import { Moderation } from "./moderation.js";
import { showNotice, showTransientNotice } from "./notices.js";
import { recordedSources } from "./participants.js";
import { showParticipantSections } from "./participant-sections.js";
import { makeParticipant, ownJoinClaims, proposedRole, reportLeft, requestAccess } from "./participation.js";
import { enterPhase, isEnd, phase } from "./phase.js";
import { RecordedRole, withRole } from "./recorded-role.js";
import { isRemoved, removalReason, resetRemoval, showLiveAgain } from "./removal.js";
import { Stream } from "./stream.js";
import { VideoTiles } from "./tiles.js";
import { allowPrompt, onTokenChange } from "./token.js";

const REJOIN_DELAY_MS = 3_000;
const REFRESH_MS = 30_000;

const query = new URLSearchParams(location.search);
const stream = new Stream(query.get("streamId") ?? "", {
  onChange: draw,
  onEvent: (event) => {
    log.addEvent(event);
    moderation.blocks.update(event);
  },
  onApplied: handleApplied,
  onLoaded: handleLoaded,
  onOlder: (event) => isRemoved() && explainRemoval(event),
  onReset: (reset) => noteReset(log, reset),
  onFeedState: handleFeedState,
  onEnd: (reason) => ends.stopped(reason),
});
const tiles = new VideoTiles(find("#tiles"));
const log = new EventLog(find("#log"), find("#last-event"));
const lobby = new Lobby(join);
const sourcesOf = (participant) => room?.sourcesOf(participant.identity) ?? recordedSources(participant);
const recordedRole = new RecordedRole();
const moderation = new Moderation(stream, { sourcesOf, onStopped: () => ends.stopped("requested") });
const broadcast = new BroadcastPanel(stream);
const ends = new Ends(stream, { release, draw });

let localParticipant = null; // {identity, name, role}
let health = null; // the summary of `GET /health`
let room = null; // a LiveKitRoom; null if rooms are simulated, or if this browser cannot join
let controls = null;

// ---- The feed

function handleApplied(event) {
  broadcast.update(event);
  if (!localParticipant) return;
  recordedRole.update(event, localParticipant);
  if (phase() === "live" || isRemoved()) explainRemoval(event);
  if (event.type === "stream_live_started") showLiveAgain();
}

function handleLoaded() {
  if (["joining", "live"].includes(phase())) recordedRole.reload(stream, localParticipant);
  moderation.blocks.forget();
  broadcast.forget();
  if (!stream.document.backstage) showLiveAgain();
}

function explainRemoval(event) {
  // In a simulated room the events of an earlier session precede the first event since the join.
  const isOwnSession = ({ sid }) => (room ? sid === room.sid : recordedRole.value !== null);
  const reason = removalReason(event, localParticipant, { isSimulated: room === null, isOwnSession });
  if (reason) ends.removed(reason, localParticipant);
}

// A join token of a blocked identity can neither read nor follow the stream.
function showIfBlocked(error) {
  if (error.code === "participant_blocked") ends.removed("blocked", localParticipant);
}

function handleFeedState(state, previous, status) {
  noteFeedState(log, state, previous, status);
  // 204: the stream has ended. 404: it has also expired.
  if (state === "ended" && (status === 204 || status === 404)) ends.stopped();
  if (state === "ended" && status === 403) stream.load().catch(showIfBlocked);
}

// ---- Drawing

function draw() {
  if (phase() === "live") localParticipant = withRole(localParticipant, room ? room.role : recordedRole.value);
  const isModerator = phase() === "live" && localParticipant.role === "host" && moderation.isAllowed;
  showHeader(stream.document);
  moderation.showHeader(isModerator);
  broadcast.show(isModerator, { isSimulated: room === null });
  showParticipantSections(stream, { local: localParticipant, isModerator, sourcesOf, moderation });
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
  const isHandRaised = Boolean(stream.participants.get(localParticipant?.identity)?.handRaisedAt);
  controls?.show({ role: localParticipant?.role, isSimulated: room === null, tileCount: all.length, isHandRaised });
}

const currentTiles = () => (room ? room.tiles() : stream.tiles(localParticipant?.identity));

// ---- Joining

async function join(chosen) {
  localParticipant = makeParticipant(stream, chosen, localParticipant);
  recordedRole.reset();
  resetRemoval();
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

// `participant` without a role keeps the recorded role.
async function connect(participant = localParticipant) {
  const access = await requestAccess(stream, participant, room && health?.livekit.url);
  localParticipant = { ...localParticipant, role: access.role ?? localParticipant.role };
  await room?.connect(access);
  draw();
}

async function publish({ microphone, camera }) {
  if (localParticipant.role !== "host" || !room) return;
  if (microphone) await controls.setDevice("microphone", true);
  if (camera) await controls.setDevice("camera", true);
}

function handleJoinError(error) {
  if (error.code === "stream_not_found") return ends.notFound();
  if (error.code === "stream_not_active") return ends.stopped();
  if (error.code === "participant_blocked") return showIfBlocked(error);
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

function release() {
  disconnect();
  lobby.close();
}

function handleDisconnect(reason) {
  disconnect();
  if (reason === "room_deleted") return ends.stopped();
  if (reason === "removed") return handleRemoval();
  if (LEFT_REASONS[reason]) return ends.left(LEFT_REASONS[reason]);
  if (phase() === "live") rejoin();
}

function handleRemoval() {
  const show = () => ends.removed("removed", localParticipant);
  show();
  stream.load().then(() => isRemoved() && stream.document.backstage && show(), showIfBlocked);
}

// Joins again after LiveKit's library has given up, until it succeeds or fails permanently.
async function rejoin() {
  showNotice("video", CONNECTION_LOST, "warn");
  await new Promise((resolve) => setTimeout(resolve, REJOIN_DELAY_MS));
  if (phase() !== "live") return;
  const wasOn = (button) => find(button).hasAttribute("data-on");
  const published = { microphone: wasOn("#mic"), camera: wasOn("#camera") };
  try {
    const { identity, name } = localParticipant;
    await connect({ identity, name });
    showTransientNotice("video", CONNECTION_RESTORED);
    publish(published);
  } catch (error) {
    disconnect();
    if (phase() === "live") isTransient(error) ? rejoin() : handleJoinError(error);
  }
}

const isTransient = (error) =>
  error instanceof ApiError ? error.isTransient : room.errorKind(error) === "unreachable";

find("#leave").addEventListener("click", async () => {
  ends.left("You can join again at any time.");
  // LiveKit reports departures to the service by webhook; a simulated room does not.
  if (!room) await reportLeft(stream, localParticipant).catch((error) => showNotice("leave", error.message, "warn"));
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
find("#again").addEventListener("click", () => openLobby());
find("#retry").addEventListener("click", () => {
  allowPrompt();
  start();
});

// ---- Start

function openLobby(error) {
  const missing = missingFeature(health, room);
  enterPhase("lobby", missing ?? error, { kind: "error" });
  lobby.open({ hasVideo: !missing && room !== null });
  lobby.setBusy(missing !== null);
}

async function prepareRoom() {
  health = await fetchHealth().catch(() => null);
  if (room || isSimulated(health)) return;
  room = await createLiveKitRoom({
    onChange: draw,
    onReconnecting: () => showNotice("video", CONNECTION_LOST, "warn"),
    onReconnected: () => showTransientNotice("video", CONNECTION_RESTORED),
    onDisconnected: handleDisconnect,
  });
}

async function start() {
  enterPhase("loading");
  if (!query.get("streamId")) return ends.notFound();
  try {
    await stream.load();
  } catch (error) {
    return ends.failed(error);
  }
  stream.follow();
  if (stream.hasEnded) return ends.stopped();
  find("#invite").hidden = false;
  await prepareRoom();
  const setHand = (isRaised) => moderation.setHand(localParticipant.identity, isRaised);
  controls ??= new Controls(room, tiles, (device) => lobby.deviceOptions(device), setHand);
  if (isEnd()) return; // the stream may have ended meanwhile
  lobby.fill({ role: proposedRole(stream, query.get("role")), fixed: ownJoinClaims(stream) });
  openLobby();
}

onTokenChange(() => ["error", "lobby"].includes(phase()) && start());
// Updates the age of the stream.
setInterval(() => stream.document && draw(), REFRESH_MS);
start();
