// Live events with resume, for any page: no dependencies, nothing about this client's own pages.
//
//   const feed = follow("/events?streamId=…", {
//     onEvent(event) {},         // {type, streamId, seq, cursor, data: {stream, participant?, reason?}, timestamp}
//     onReset(reset) {},         // {reason, cursor, snapshot}: start again from the snapshot. Without one, load the state again
//     onState(state, status) {}, // connecting, open, reconnecting, ended; ended comes with the HTTP status that ended it
//   });
//   feed.close();
//   feed.reopen();               // after it ended, say with 401: on from the same cursor
//
// The address may be a function: it is asked at every attempt, so that a token in it may change.
//
// An EventSource that loses its connection comes back by itself and resumes after the last event. One that is refused
// (an instance going away answers 503) gives up: this comes back in its place, after a delay that differs per client.

const EVENT_TYPES = [
  "stream_created",
  "stream_updated",
  "stream_stopped",
  "participant_joined",
  "participant_left",
  "participant_updated",
];
const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 15_000;
const COMPLETE = 204;

export function follow(url, { onEvent, onReset = () => {}, onState = () => {} }) {
  let source;
  let timer;
  let cursor = null;
  let wasOpen = false;
  let attempts = 0;
  let state;

  function enter(next, status) {
    if (state === "ended" || state === next) return;
    state = next;
    onState(next, status);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
  }

  function end(status) {
    close();
    enter("ended", status);
  }

  function open() {
    const target = new URL(typeof url === "function" ? url() : url, location.href);
    if (cursor !== null) target.searchParams.set("lastEventId", cursor);
    const opened = new EventSource(target);
    source = opened;
    // Refused before anything was received: what happened meanwhile cannot be resumed.
    const blind = wasOpen && cursor === null;
    source.onopen = () => {
      enter("open");
      attempts = 0;
      wasOpen = true;
      if (blind) onReset({ reason: "no_cursor", cursor: null, snapshot: null });
    };
    source.onerror = () => {
      enter(wasOpen ? "reconnecting" : "connecting");
      if (opened.readyState === EventSource.CLOSED) refused(opened, target);
    };
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, (message) => {
        cursor = message.lastEventId;
        onEvent(JSON.parse(message.data));
        if (type === "stream_stopped" && target.searchParams.has("streamId")) end(COMPLETE);
      });
    }
    source.addEventListener("reset", (message) => {
      cursor = message.lastEventId;
      onReset(JSON.parse(message.data));
    });
  }

  // An EventSource does not tell why it was refused, so the same request is made once more to see.
  async function refused(from, target) {
    const status = await statusOf(target);
    if (state === "ended" || source !== from) return;
    const forGood = status === COMPLETE || (status >= 400 && status < 500 && status !== 408 && status !== 429);
    if (forGood) return end(status);
    const delay = Math.min(FIRST_DELAY_MS * 2 ** attempts, LONGEST_DELAY_MS);
    attempts += 1;
    timer = setTimeout(open, delay * (0.5 + Math.random()));
  }

  enter("connecting");
  open();
  return {
    close() {
      close();
      state = "ended";
    },
    reopen() {
      close();
      state = undefined;
      enter(wasOpen ? "reconnecting" : "connecting");
      open();
    },
  };
}

async function statusOf(target) {
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
