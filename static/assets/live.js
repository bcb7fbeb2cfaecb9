// Client of an event feed with resume, for any web page. Has no dependencies.
//
//   const feed = follow("/events?streamId=…", {
//     onEvent(event) {},
//     onReset(reset) {},
//     onState(state, status) {},
//   });
//   feed.close();
//   feed.reopen();
//
// onEvent    an event: {type, streamId, seq, cursor, data: {stream, participant?, reason?}, timestamp}
// onReset    {reason, cursor, snapshot}: replace your state by the snapshot. If the snapshot is null, load the state.
//            A reset in parts is joined before.
// onState    connecting, open, reconnecting, or ended with the HTTP status that ended the feed
// reopen     resumes an ended feed from its cursor, for example with a new token after 401
//
// The URL may be a function. It is called before every connection attempt, so a token in it may change.
//
// EventSource reconnects after a lost connection and sends the cursor of the last event. It gives up if the server
// rejects the request, for example with the 503 of an instance that is stopping. In that case this client reconnects,
// after a delay that grows with each attempt and has a random part.

const EVENT_TYPES = [
  "stream_created",
  "stream_updated",
  "stream_stopped",
  "participant_joined",
  "participant_left",
  "participant_updated",
  "participant_count_updated",
  "stream_live_started",
  "stream_live_stopped",
  "participant_blocked",
  "participant_unblocked",
  "ingress_updated",
  "recording_updated",
  "broadcast_updated",
];
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 15_000;
// The stream has ended, and the client has all of its events.
const STREAM_ENDED = 204;

export function follow(url, { onEvent, onReset = () => {}, onState = () => {} }) {
  let source;
  let timer;
  let cursor = null;
  let wasOpen = false;
  let attempts = 0;
  let state;

  function setState(next, status) {
    if (state === "ended" || state === next) return;
    state = next;
    onState(next, status);
  }

  function disconnect() {
    clearTimeout(timer);
    source?.close();
  }

  function end(status) {
    disconnect();
    setState("ended", status);
  }

  function connect() {
    const target = new URL(typeof url === "function" ? url() : url, location.href);
    if (cursor !== null) target.searchParams.set("lastEventId", cursor);
    const opened = new EventSource(target);
    source = opened;
    // A feed that was rejected before its first event has no cursor and cannot resume.
    const hasLostEvents = wasOpen && cursor === null;
    source.onopen = () => {
      setState("open");
      attempts = 0;
      wasOpen = true;
      if (hasLostEvents) onReset({ reason: "no_cursor", cursor: null, snapshot: null });
    };
    source.onerror = () => {
      setState(wasOpen ? "reconnecting" : "connecting");
      if (opened.readyState === EventSource.CLOSED) handleRejection(opened, target);
    };
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, (message) => {
        cursor = message.lastEventId;
        onEvent(JSON.parse(message.data));
        if (type === "stream_stopped" && target.searchParams.has("streamId")) end(STREAM_ENDED);
      });
    }
    // A reset above 1 MiB comes in parts, of which the last one has the cursor.
    const parts = [];
    source.addEventListener("reset", (message) => {
      const part = JSON.parse(message.data);
      // EventSource has reconnected: the reset begins again, maybe in one message.
      if (!(part.part > 1)) parts.length = 0;
      parts.push(part);
      if (part.cursor === undefined) return;
      cursor = message.lastEventId;
      onReset({ reason: part.reason, cursor: part.cursor, snapshot: joinSnapshots(parts.splice(0)) });
    });
  }

  // EventSource does not expose the status of a rejected request, so the same request is repeated with fetch.
  async function handleRejection(rejected, target) {
    const status = await fetchStatus(target);
    if (state === "ended" || source !== rejected) return;
    const isFinal = status === STREAM_ENDED || (status >= 400 && status < 500 && status !== 408 && status !== 429);
    if (isFinal) return end(status);
    const delay = Math.min(FIRST_DELAY_MS * 2 ** attempts, MAX_DELAY_MS);
    attempts += 1;
    timer = setTimeout(connect, delay * (0.5 + Math.random()));
  }

  setState("connecting");
  connect();
  return {
    close() {
      disconnect();
      state = "ended";
    },
    reopen() {
      disconnect();
      state = undefined;
      setState(wasOpen ? "reconnecting" : "connecting");
      connect();
    },
  };
}

// Joins the arrays of the parts, or the state of one stream in the first and arrays of its further participants.
function joinSnapshots([first, ...others]) {
  const further = others.flatMap(({ snapshot }) => snapshot);
  if (Array.isArray(first.snapshot)) return first.snapshot.concat(further);
  if (others.length === 0) return first.snapshot;
  return { ...first.snapshot, participants: first.snapshot.participants.concat(further) };
}

// Returns the HTTP status of a feed, or 0 if the server cannot be reached.
async function fetchStatus(target) {
  const request = new AbortController();
  try {
    const response = await fetch(target, { headers: { accept: "text/event-stream" }, signal: request.signal });
    return response.status;
  } catch {
    return 0;
  } finally {
    request.abort();
  }
}
