// One stream: the lobby, the room, the end.

import {
  call, copyLink, find, health, roomLink, setText, showFeed, showStatus, startedOf, titleOf,
} from "./common.js";
import { follow } from "./live.js";
import { deviceProblem, loadLibrary, Preview } from "./media.js";
import { EventLog, showPeople } from "./people.js";
import { Stage } from "./stage.js";

const LOGGED = 50;
const GOOD_NEWS_STAYS_MS = 4_000;
const REJOIN_AFTER_MS = 3_000;
const CONNECT_WITHIN_MS = 20_000;

const query = new URLSearchParams(location.search);
const path = `/streams/${encodeURIComponent(query.get("streamId") ?? "")}`;
const form = find("#join");
const stage = new Stage(find("#stage"));
const log = new EventLog(find("#log"), find("#last"));
const preview = new Preview(find("#preview"), { camera: find("#camera-device"), microphone: find("#microphone-device") });

let stream = null; // the stream's document, without participants
let people = new Map(); // by identity
let me = null; // {identity, name, role}
let room = null; // LiveKit's room while joined
let simulated = false;
let livekit = null; // the LiveKit library

// ---- Words and phases

const said = new Map();

// Says something about one topic, until it says something else about it.
function say(topic, words, kind = "info") {
  said.delete(topic);
  if (words) said.set(topic, { words, kind });
  const all = [...said.values()];
  const notice = find("#notice");
  setText(notice, all.map((one) => one.words).join(" "));
  notice.dataset.kind = all.some((one) => one.kind === "error") ? "error" : (all.at(-1)?.kind ?? "");
}

function sayForNow(topic, words) {
  say(topic, words, "good");
  setTimeout(() => said.get(topic)?.words === words && say(topic, ""), GOOD_NEWS_STAYS_MS);
}

const phase = () => document.body.dataset.phase;

function enter(next, words, kind) {
  document.body.dataset.phase = next;
  said.clear();
  say("phase", words, kind);
  if (next !== "lobby") preview.stop();
}

const isOver = () => ["stopped", "error"].includes(phase());

// The end may be heard of twice: from LiveKit at once, and from the feed with the reason.
function ended(reason) {
  if (phase() === "error" || (phase() === "stopped" && !STOP_WORDS[reason])) return;
  hangUp();
  enter("stopped", ["This stream has ended.", STOP_WORDS[reason]].filter(Boolean).join(" "));
}

const STOP_WORDS = {
  requested: "The host stopped it for everyone.",
  idle: "Nobody was in it for a while.",
  room_finished: "Its room was closed.",
};

// ---- The stream and who is in it

async function load() {
  const { document } = await call("GET", path);
  const { participants, ...rest } = document;
  stream = rest;
  people = new Map(participants.map((person) => [person.identity, person]));
  draw();
}

function apply(event) {
  log.event(event);
  if (event.seq <= stream.version) return;
  // The document and the newest events overlap; where they do not, the document is loaded again.
  if (event.seq !== stream.version + 1) return load().catch(() => {});
  stream = { ...stream, ...event.data.stream };
  const person = event.data.participant;
  if (person) people.set(person.identity, person);
  draw();
  if (stream.status === "stopped" || stream.status === "error") ended(event.data.reason);
}

function reset({ reason, cursor, snapshot }) {
  if (cursor === null) return load().catch(() => {});
  log.note(`Started again from a snapshot (${reason}), cursor ${cursor}`);
  if (!snapshot) return ended();
  log.skipTo(snapshot.version);
  const { participants, ...rest } = snapshot;
  stream = { ...stream, ...rest };
  people = new Map(participants.map((person) => [person.identity, person]));
  draw();
  if (stream.status === "stopped") ended();
}

let feedState = "connecting";

function feedChanged(state, status) {
  const before = feedState;
  feedState = state;
  showFeed(state);
  if (state === "reconnecting") {
    log.note("Connection lost, reconnecting…");
    if (!isOver()) say("feed", "The server does not answer. Reconnecting…", "warn");
  }
  if (state === "open" && before === "reconnecting") {
    log.note("Connected again, resumed after the last event");
    if (!isOver()) sayForNow("feed", "Connected again. Nothing was missed.");
  }
  // The feed is over: the stream has ended, perhaps so long ago that it is forgotten.
  if (state === "ended" && (status === 204 || status === 404)) ended();
}

function draw() {
  const title = titleOf(stream);
  document.title = `${title} · Livestream`;
  setText(find("#title"), title);
  showStatus(find("#status"), stream.status);
  find("#status").hidden = false;
  setText(find("#count"), stream.participantCount);
  setText(find("#since"), startedOf(stream));
  showPeople(find("#participants"), [...people.values()], me?.identity, publishing);
  find("#nobody").hidden = find("#participants").children.length > 0;
  drawStage();
}

// ---- Video

function participants() {
  return room ? [room.localParticipant, ...room.remoteParticipants.values()] : [];
}

function publishing(identity) {
  const person = participants().find((one) => one.identity === identity);
  if (!person) return "";
  const sends = [
    person.isCameraEnabled && "camera",
    person.isMicrophoneEnabled && "microphone",
    person.isScreenShareEnabled && "screen",
  ];
  return sends.filter(Boolean).join(", ");
}

function tilesOf(person) {
  const { Source } = livekit.Track;
  const camera = person.getTrackPublication(Source.Camera);
  const screen = person.getTrackPublication(Source.ScreenShare);
  const shared = { identity: person.identity, name: person.name || person.identity, local: person.isLocal };
  const tiles = [];
  if (person.permissions?.canPublish || person.trackPublications.size > 0) {
    tiles.push({
      ...shared,
      source: "camera",
      track: camera && !camera.isMuted ? camera.track : undefined,
      muted: !person.isMicrophoneEnabled,
      speaking: person.isSpeaking,
      quality: person.connectionQuality,
    });
  }
  if (screen?.track && !screen.isMuted) tiles.push({ ...shared, source: "screen", track: screen.track });
  return tiles;
}

function simulatedTiles() {
  const hosts = [...people.values()].filter((person) => person.state === "active" && person.role === "host");
  return hosts.map(({ identity, name }) => ({ identity, source: "camera", name: name || identity, local: identity === me?.identity }));
}

function drawStage() {
  const tiles = phase() !== "live" ? [] : simulated ? simulatedTiles() : participants().flatMap(tilesOf);
  stage.show(tiles);
  find("#quiet").hidden = tiles.length > 0;
  const isHost = me?.role === "host";
  for (const button of document.querySelectorAll(".host")) button.hidden = !isHost || (simulated && button.id !== "stop");
  find("#screen").hidden ||= !navigator.mediaDevices?.getDisplayMedia;
  find("#view").hidden = tiles.length < 2;
  find("#sound").hidden = !room || room.canPlaybackAudio;
  if (!room) return;
  const local = room.localParticipant;
  toggle("#mic", local.isMicrophoneEnabled, "Mute", "Unmute");
  toggle("#camera", local.isCameraEnabled, "Stop camera", "Start camera");
  toggle("#screen", local.isScreenShareEnabled, "Stop sharing", "Share screen");
}

function toggle(selector, isOn, on, off) {
  const button = find(selector);
  button.setAttribute("aria-pressed", isOn);
  setText(button.querySelector(".label"), isOn ? on : off);
}

async function connect({ wsUrl, token }) {
  const { Room, RoomEvent } = livekit;
  const joined = new Room({ adaptiveStream: { pauseVideoInBackground: false }, dynacast: true });
  const redraw = () => joined === room && draw();
  for (const event of [
    RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected, RoomEvent.ParticipantPermissionsChanged,
    RoomEvent.TrackPublished, RoomEvent.TrackUnpublished, RoomEvent.TrackSubscribed, RoomEvent.TrackUnsubscribed,
    RoomEvent.TrackMuted, RoomEvent.TrackUnmuted, RoomEvent.LocalTrackPublished, RoomEvent.LocalTrackUnpublished,
    RoomEvent.ActiveSpeakersChanged, RoomEvent.ConnectionQualityChanged, RoomEvent.AudioPlaybackStatusChanged,
  ]) {
    joined.on(event, redraw);
  }
  joined.on(RoomEvent.TrackSubscribed, (track) => {
    if (track.kind === "audio") find("#audio").append(track.attach());
  });
  joined.on(RoomEvent.TrackUnsubscribed, (track) => {
    if (track.kind === "audio") track.detach().forEach((element) => element.remove());
  });
  joined.on(RoomEvent.Reconnecting, () => say("video", "The video connection was lost. Reconnecting…", "warn"));
  joined.on(RoomEvent.Reconnected, () => sayForNow("video", "The video is back."));
  joined.on(RoomEvent.Disconnected, (reason) => joined === room && disconnected(reason));
  room = joined;
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("no answer")), CONNECT_WITHIN_MS));
  await Promise.race([joined.connect(wsUrl, token), late]);
}

function disconnected(reason) {
  const { DisconnectReason } = livekit;
  hangUp();
  switch (reason) {
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return ended();
    case DisconnectReason.PARTICIPANT_REMOVED:
      return enter("left", "You were removed from this stream.", "warn");
    case DisconnectReason.DUPLICATE_IDENTITY:
      return enter("left", "You joined this stream from another place, so this page left it.", "warn");
    default:
      if (phase() === "live") rejoin();
  }
}

function hangUp() {
  const leaving = room;
  room = null;
  leaving?.disconnect();
  find("#audio").replaceChildren();
  stage.show([]);
}

// LiveKit's own attempts are over. A new token may still open the way, once the server is back.
async function rejoin() {
  say("video", "The video connection was lost. Reconnecting…", "warn");
  await new Promise((resolve) => setTimeout(resolve, REJOIN_AFTER_MS));
  if (phase() !== "live") return;
  try {
    await goIn();
    sayForNow("video", "The video is back.");
  } catch (error) {
    hangUp();
    const mayPass = error.fields ? [0, 429, 502, 503, 504].includes(error.status) : !isRefusal(error);
    if (phase() === "live") mayPass ? rejoin() : refused(error);
  }
}

// ---- Joining and leaving

async function goIn() {
  const { document: ticket } = await call("POST", `${path}/join`, me);
  if (!simulated) await connect(ticket);
  draw();
  if (me.role === "host" && !simulated) publish();
}

async function publish() {
  await turnOn("microphone", true);
  await turnOn("camera", true);
}

const SETTERS = { microphone: "setMicrophoneEnabled", camera: "setCameraEnabled" };

const WITHOUT = { microphone: "Others cannot hear you.", camera: "Others cannot see you." };

// Turns a device on or off; one that does not start leaves its owner in the stream without it.
async function turnOn(device, on) {
  const joined = room;
  try {
    await joined.localParticipant[SETTERS[device]](on, preview.devices[device]);
    say(device, "");
  } catch (error) {
    if (joined === room) say(device, `${deviceProblem(device, error)} ${WITHOUT[device]}`, "warn");
  }
  draw();
}

const JOIN_WORDS = {
  stream_full: "This stream is full: as many people as it allows are here. Try again when somebody has left.",
  livekit_unavailable: "The video server does not answer right now. Please try again in a moment.",
};

// LiveKit's own answer; anything else means that it was not reached.
const isRefusal = (error) => error instanceof livekit.ConnectionError && error.reason === livekit.ConnectionErrorReason.NotAllowed;

function refused(error) {
  if (error.code === "stream_not_found") return gone();
  if (error.code === "stream_not_active") return ended();
  enter("lobby", joinProblem(error), "error");
  // Its place was given out, and nobody came.
  if (!error.fields) call("POST", `${path}/leave`, { identity: me.identity }).catch(() => {});
  showPreview();
}

function joinProblem(error) {
  if (error.fields) return JOIN_WORDS[error.code] ?? error.message;
  if (/max|full|limit/i.test(error.message)) return JOIN_WORDS.stream_full;
  if (isRefusal(error)) return "The video server refused the token: it may have expired, or was made for another server. Please join again.";
  return "The video server cannot be reached from this browser. Please try again in a moment.";
}

function gone() {
  enter("error", "There is no such stream. The link may be wrong, or the stream ended some time ago.", "error");
}

// Unique, so that two people of one name do not put each other out.
const identityFor = (name) => `${name.toLowerCase().replace(/\s+/g, "-")}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

form.addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const name = form.elements.name.value.trim();
  if (!name) return say("phase", "Please enter your name.", "error");
  const identity = me?.name === name ? me.identity : identityFor(name);
  me = { identity, name, role: form.elements.role.value };
  remember(name);
  enter("joining", "Joining…");
  form.querySelector("[type=submit]").disabled = true;
  try {
    await goIn();
    if (phase() !== "joining") return hangUp();
    enter("live");
    find("#live").focus();
    draw();
  } catch (error) {
    hangUp();
    if (phase() === "joining") refused(error);
  } finally {
    form.querySelector("[type=submit]").disabled = false;
  }
});

find("#leave").addEventListener("click", async () => {
  enter("left", "You have left this stream.");
  hangUp();
  await call("POST", `${path}/leave`, { identity: me.identity }).catch((error) => say("leave", error.message, "warn"));
});

find("#stop").addEventListener("click", async ({ currentTarget: button }) => {
  button.disabled = true;
  try {
    await call("DELETE", path);
    ended("requested");
  } catch (error) {
    say("stop", error.message, "error");
  } finally {
    button.disabled = false;
  }
});

find("#mic").addEventListener("click", () => turnOn("microphone", !room.localParticipant.isMicrophoneEnabled));
find("#camera").addEventListener("click", () => turnOn("camera", !room.localParticipant.isCameraEnabled));
find("#screen").addEventListener("click", async () => {
  try {
    await room.localParticipant.setScreenShareEnabled(!room.localParticipant.isScreenShareEnabled);
    say("screen", "");
  } catch {
    say("screen", "Your screen is not shared: it was cancelled or refused.", "warn");
  }
  draw();
});
find("#sound").addEventListener("click", () => room.startAudio());
find("#view").addEventListener("click", ({ currentTarget: button }) => {
  const speaker = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", speaker);
  find("#stage").dataset.view = speaker ? "speaker" : "grid";
});
find("#invite").addEventListener("click", ({ currentTarget: button }) => copyLink(button, roomLink(stream, "viewer")));
find("#again").addEventListener("click", openLobby);

// A page that goes away says so. Where it comes back from the browser's cache, it starts anew.
window.addEventListener("pagehide", () => {
  if (phase() === "live") call("POST", `${path}/leave`, { identity: me.identity }, { keepalive: true }).catch(() => {});
});
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

// ---- The lobby

async function showPreview() {
  const wanted = phase() === "lobby" && form.elements.role.value === "host" && !simulated;
  document.body.toggleAttribute("data-preview", wanted);
  for (const select of form.querySelectorAll("[id$=-device]")) select.closest("label").hidden = !wanted || select.options.length === 0;
  if (!wanted) {
    preview.stop();
    return say("device", "");
  }
  const problem = await preview.start();
  if (phase() === "lobby" && form.elements.role.value === "host") {
    say("device", problem && `${problem} You can join without.`, "warn");
  }
}

function openLobby() {
  enter("lobby");
  const missing = whatIsMissing();
  form.querySelector("[type=submit]").disabled = missing !== null;
  if (missing) return say("phase", missing, "error");
  showPreview();
}

// What this browser lacks, if anything.
function whatIsMissing() {
  if (simulated) return null;
  if (typeof RTCPeerConnection === "undefined") return "This browser has no WebRTC, which video needs. Please use a current Chrome, Edge, Firefox or Safari.";
  if (!livekit) return "The video library could not be loaded, neither from this server nor from the CDN. Check your connection and load the page again.";
  return null;
}

function remember(name) {
  try {
    localStorage.setItem("name", name);
  } catch {
    // Storage is switched off: the name is asked for again next time.
  }
}

function recall() {
  try {
    return localStorage.getItem("name") ?? "";
  } catch {
    return "";
  }
}

form.elements.role.addEventListener("change", showPreview);

async function begin() {
  if (!query.get("streamId")) return gone();
  try {
    await load();
  } catch (error) {
    return error.status === 404 ? gone() : enter("error", `The stream could not be loaded. ${error.message}`, "error");
  }
  follow(`/events?${new URLSearchParams({ streamId: query.get("streamId"), limit: LOGGED })}`, {
    onEvent: apply,
    onReset: reset,
    onState: feedChanged,
  });
  if (stream.status === "stopped" || stream.status === "error") return ended();
  find("#invite").hidden = false;
  simulated = await health().then((summary) => summary.livekit.kind === "simulated", () => false);
  if (!simulated) livekit = await loadLibrary();
  if (isOver()) return;
  const hasHost = [...people.values()].some((person) => person.role === "host" && person.state === "active");
  const role = query.get("role");
  form.elements.role.value = ["host", "viewer"].includes(role) ? role : hasHost ? "viewer" : "host";
  form.elements.name.value = recall();
  openLobby();
}

setInterval(() => stream && draw(), 30_000);
begin();
