// The page with the list of streams, updated by the feed of all streams.

import { followEvents, nextPageUrl, request } from "./api.js";
import { find, setText } from "./dom.js";
import { formatPreciseTime } from "./format.js";
import { showHealth } from "./health.js";
import { initStartForm } from "./start-form.js";
import { showFeedState } from "./status.js";
import { StreamList } from "./stream-list.js";
import { allowPrompt, onTokenChange } from "./token.js";

const PAGE_SIZE = 200;
const FEED_TIMEOUT_MS = 3_000;
const TRANSIENT_MS = 4_000;

const list = new StreamList(find("#streams"), find("#search"), stopStream);

async function stopStream(id) {
  try {
    const { body: stream } = await request("DELETE", `/streams/${id}`);
    list.apply(stream);
    return true;
  } catch (error) {
    showNotice(error.message, "error");
    return false;
  }
}

// `state` is loading, ready or failed; the list turns ready into empty or nomatch.
function setListState(state) {
  document.body.dataset.list = state;
  list.updateSummary();
}

async function load() {
  try {
    let path = `/streams?limit=${PAGE_SIZE}`;
    while (path) {
      const { body: page, response } = await request("GET", path);
      page.forEach((stream) => list.apply(stream));
      path = nextPageUrl(response);
    }
    setListState("ready");
  } catch (error) {
    setText(find("#list-error"), error.message);
    if (list.isEmpty) setListState("failed");
  }
}

function reload() {
  setListState("loading");
  load();
}

function replaceList(streams) {
  list.replaceAll(streams);
  setListState("ready");
}

// ---- The feed

let wasOpen = false;
let disconnectedAt = null;

function showNotice(text, kind = "") {
  const notice = find("#connection");
  notice.dataset.kind = kind;
  setText(notice, text);
}

function showDisconnect() {
  disconnectedAt ??= new Date();
  const time = formatPreciseTime(disconnectedAt);
  showNotice(`The server does not answer. This list is as of ${time}. Reconnecting…`, "warn");
}

function showReconnect(text) {
  if (!disconnectedAt) return;
  disconnectedAt = null;
  showNotice(text, "good");
  setTimeout(() => find("#connection").textContent === text && showNotice(""), TRANSIENT_MS);
}

followEvents("/events", {
  onEvent: (event) => list.apply(event.data.stream),
  onReset: ({ snapshot }) => {
    showReconnect("Connected again. The list was reloaded.");
    replaceList(snapshot ?? []);
    if (!snapshot) load();
  },
  onState: (state, status) => {
    showFeedState(state);
    showHealth();
    if (state === "reconnecting") showDisconnect();
    // The request shows why access was denied.
    if (state === "ended" && (status === 401 || status === 403)) load();
    if (state !== "open") return;
    showReconnect("Connected again. Nothing was missed.");
    // An event between the load of the list and the start of the feed would be lost, so the feed is opened first.
    if (!wasOpen) load();
    wasOpen = true;
  },
});

// A feed that does not open must not keep the list from loading.
setTimeout(() => wasOpen || load(), FEED_TIMEOUT_MS);

find("#retry").addEventListener("click", () => {
  allowPrompt();
  reload();
});
onTokenChange(reload);
initStartForm((stream) => list.apply(stream));
showHealth();
