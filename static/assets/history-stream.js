// One past stream: its figures, its viewers over time, its recordings, its visits.

import { nextPageUrl, request } from "./api.js";
import { drawChart } from "./chart.js";
import { find, make, runOnce, setText } from "./dom.js";
import { formatCount, formatDateTime, formatDuration, formatNumber, formatPreciseTime, isolate, titleOf } from "./format.js";
import { showRecordings } from "./history-recordings.js";
import { showStatus } from "./status.js";

const PAGE_SIZE = 200;

export const pathOf = (id) => `/history/streams/${encodeURIComponent(id)}`;

// Shows a stream; throws an ApiError if it cannot be read. `showError` reports a later page that cannot be. Resolves to a
// function that draws the chart, which takes its width from the page.
export async function showStream(id, showError) {
  const path = pathOf(id);
  const { body: stream } = await request("GET", path);
  showSummary(stream);
  showRecordings(stream);
  const { body: points } = await request("GET", `${path}/viewers`);
  await showVisits(`${path}/visits?limit=${PAGE_SIZE}`, showError);
  return () => showChart(points);
}

function showSummary(stream) {
  const title = titleOf({ ...stream, streamId: stream.id });
  document.title = `${title} · Past streams`;
  setText(find("#stream-heading"), title);
  showStatus(find("#status"), stream);
  setText(find("#times"), describeTimes(stream));
  const figures = [
    ["Peak viewers", formatNumber(stream.peakViewers)],
    ["Different viewers", formatNumber(stream.uniqueViewers)],
    ["Watched in total", formatDuration(stream.totalWatchSeconds)],
    ["Median per viewer", formatDuration(stream.medianWatchSeconds)],
    ["Hosts", formatNumber(stream.uniqueHosts)],
  ];
  find("#figures").replaceChildren(...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

// Returns the room, the start and the duration of a stream as text.
export function describeTimes({ roomName, createdAt, startedAt, stoppedAt }) {
  const start = startedAt ?? createdAt;
  const seconds = stoppedAt ? Math.max(0, (new Date(stoppedAt) - new Date(start)) / 1_000) : null;
  const lasted = seconds === null ? "not ended" : `lasted ${formatDuration(seconds)}`;
  return [isolate(roomName), formatDateTime(start), lasted].join(" · ");
}

async function showChart(points) {
  const most = points.reduce((most, point) => (point.viewers > most.viewers ? point : most));
  const text = `At most ${formatCount(most.viewers, "viewer", "viewers")}, first at ${formatPreciseTime(most.time)}.`;
  setText(find("#chart-summary"), most.viewers > 0 ? text : "No viewers.");
  const isNew = ({ viewers }, index) => index === 0 || viewers !== points[index - 1].viewers;
  const rows = points.filter(isNew).map(({ time, viewers }) =>
    make("tr", {}, make("td", {}, make("time", { datetime: time }, formatPreciseTime(time))), make("td", {}, formatNumber(viewers))));
  find("#points").replaceChildren(...rows);
  find("#chart-error").hidden = await drawChart(find("#chart"), points);
}

function visitRow({ identity, name, role, kind, joinedAt, leftAt, seconds }) {
  const cell = (text) => make("td", {}, text);
  const shown = name && name !== identity ? `${name} (${isolate(identity)})` : identity;
  return make("tr", {},
    make("td", { class: "name" }, shown),
    cell(kind === "agent" ? "agent" : role),
    cell(formatDateTime(joinedAt)),
    cell(formatDateTime(leftAt)),
    cell(formatDuration(seconds)),
  );
}

async function showVisits(first, showError) {
  const [body, more] = [find("#visits tbody"), find("#more-visits")];
  let next = first;
  const showPage = async () => {
    const { body: visits, response } = await request("GET", next);
    body.append(...visits.map(visitRow));
    next = nextPageUrl(response);
    more.hidden = !next;
  };
  body.replaceChildren();
  await showPage();
  find("#no-visits").hidden = body.children.length > 0;
  more.onclick = () => runOnce(more, () => showPage().catch(showError));
}
