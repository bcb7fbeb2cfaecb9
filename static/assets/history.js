// The page of the history: the past streams, or with `?stream=` one of them.

import { nextPageUrl, request } from "./api.js";
import { downloadCsv } from "./csv.js";
import { find, make, runOnce, setText } from "./dom.js";
import { formatNumber, titleOf } from "./format.js";
import { describeTimes, pathOf, showStream } from "./history-stream.js";
import { showStatus } from "./status.js";
import { allowPrompt, onTokenChange } from "./token.js";

const PAGE_SIZE = 50;
const NOTICE_MS = 6_000;

const query = new URLSearchParams(location.search);
const shownId = query.get("stream");

// `state` is loading, list, stream, disabled or failed.
const setPage = (state) => (document.body.dataset.page = state);

function showError({ message }) {
  const notice = find("#notice");
  notice.dataset.kind = "error";
  setText(notice, message);
  setTimeout(() => notice.textContent === message && setText(notice, ""), NOTICE_MS);
}

// ---- The list

// Returns the path of the list with the filter of the page's address. Days are those of the browser's time zone.
function listPath() {
  const filter = new URLSearchParams({ limit: PAGE_SIZE });
  if (query.get("roomName")) filter.set("roomName", query.get("roomName"));
  const day = (name, days) => {
    const date = query.get(name) ? new Date(`${query.get(name)}T00:00:00`) : null;
    if (!date || Number.isNaN(date.getTime())) return null;
    date.setDate(date.getDate() + days);
    return date.toISOString();
  };
  const [from, to] = [day("from", 0), day("until", 1)];
  if (from) filter.set("from", from);
  if (to) filter.set("to", to);
  return `/history/streams?${filter}`;
}

function streamRow(stream) {
  const link = make("a", { href: `/history.html?stream=${encodeURIComponent(stream.id)}` }, titleOf({ ...stream, streamId: stream.id }));
  const status = make("span", { class: "status" });
  showStatus(status, stream);
  return make("li", { "data-stream-id": stream.id },
    make("div", {}, make("h2", {}, link), make("p", { class: "meta" }, status, make("span", { class: "room" }, describeTimes(stream)))),
    make("p", { class: "peak meta" }, make("strong", {}, formatNumber(stream.peakViewers)), "peak viewers"),
  );
}

async function showList() {
  for (const name of ["roomName", "from", "until"]) find(`#filter [name=${name}]`).value = query.get(name) ?? "";
  const [list, more] = [find("#streams"), find("#more-streams")];
  let next = listPath();
  const showPage = async () => {
    const { body: streams, response } = await request("GET", next);
    list.append(...streams.map(streamRow));
    next = nextPageUrl(response);
    more.hidden = !next;
  };
  list.replaceChildren();
  await showPage();
  more.onclick = () => runOnce(more, () => showPage().catch(showError));
  document.body.toggleAttribute("data-empty", list.children.length === 0);
  setPage("list");
}

// ---- Both

async function load() {
  setPage("loading");
  try {
    if (!shownId) return await showList();
    const showChart = await showStream(shownId, showError);
    setPage("stream");
    await showChart();
  } catch (error) {
    setText(find("#load-error"), error.message);
    setPage(error.code === "history_disabled" ? "disabled" : "failed");
  }
}

function offerDownload(button, path, fileName) {
  button.addEventListener("click", () =>
    runOnce(button, () => downloadCsv(path(), fileName).catch(showError)));
}

const ofStream = (rest) => () => `${pathOf(shownId)}/${rest}`;
offerDownload(find("#download-streams"), () => listPath().replace(`limit=${PAGE_SIZE}`, "limit=1000"), "streams.csv");
offerDownload(find("#download-viewers"), ofStream("viewers"), "viewers.csv");
offerDownload(find("#download-visits"), ofStream("visits?limit=1000"), "visits.csv");
offerDownload(find("#download-events"), ofStream("events?limit=1000"), "events.csv");

find("#retry").addEventListener("click", () => {
  allowPrompt();
  load();
});
onTokenChange(load);
load();
