// The page of all streams, kept live by one event feed.

import { call, followEvents, nextPage } from "./api.js";
import { find, setText } from "./dom.js";
import { Rows } from "./rows.js";
import { showService } from "./service.js";
import { prepareStart } from "./start.js";
import { askAgain, onToken } from "./token.js";
import { preciseTimeOf, showFeed } from "./words.js";

const PAGE = 200;
const PATIENCE_MS = 3_000;
const GOOD_NEWS_STAYS_MS = 4_000;

const rows = new Rows(find("#streams"), find("#search"), stopStream);

// Gives whether it is stopped.
async function stopStream(id) {
  try {
    const { document: stream } = await call("DELETE", `/streams/${id}`);
    rows.apply(stream);
    return true;
  } catch (error) {
    say(error.message, "error");
    return false;
  }
}

function listIs(state) {
  document.body.dataset.list = state;
  rows.summarise();
}

async function load() {
  try {
    let path = `/streams?limit=${PAGE}`;
    while (path) {
      const { document: page, response } = await call("GET", path);
      page.forEach((stream) => rows.apply(stream));
      path = nextPage(response);
    }
    listIs("ready");
  } catch (error) {
    setText(find("#list-error"), error.message);
    if (rows.isEmpty) listIs("failed");
  }
}

function startAgain(snapshot) {
  rows.startAgain(snapshot);
  listIs("ready");
}

// ---- The feed

let followed = false; // the list is loaded, or being loaded, since the feed stands
let lostAt = null;

function say(words, kind) {
  const notice = find("#connection");
  notice.dataset.kind = kind ?? "";
  setText(notice, words);
}

function lost() {
  lostAt ??= new Date();
  say(`The server does not answer. This list is as of ${preciseTimeOf(lostAt)}. Reconnecting…`, "warn");
}

function back(words) {
  lostAt = null;
  say(words, "good");
  setTimeout(() => find("#connection").textContent === words && say(""), GOOD_NEWS_STAYS_MS);
}

followEvents("/events", {
  onEvent: (event) => rows.apply(event.data.stream),
  onReset: ({ snapshot }) => {
    if (lostAt) back("Connected again. The list was loaded anew.");
    if (snapshot) return startAgain(snapshot);
    startAgain([]);
    load();
  },
  onState: (state, status) => {
    showFeed(state);
    showService();
    if (state === "reconnecting") lost();
    // It says what is missing.
    if (state === "ended" && (status === 401 || status === 403)) load();
    if (state !== "open") return;
    if (lostAt) back("Connected again. Nothing was missed.");
    if (!followed) load();
    followed = true;
  },
});

// The list is loaded once the feed stands, so that nothing falls between the two; without waiting for it for ever.
setTimeout(() => followed || load(), PATIENCE_MS);

function again() {
  listIs("loading");
  load();
}

find("#retry").addEventListener("click", () => {
  askAgain();
  again();
});
onToken(again);
prepareStart((stream) => rows.apply(stream));
showService();
