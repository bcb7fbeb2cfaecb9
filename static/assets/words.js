// What both pages say about streams, in the browser's own time zone and number format.

import { find, setText } from "./dom.js";

// A name inside a sentence: characters in it that turn the direction of writing end with it.
export const isolated = (name) => `\u2068${name}\u2069`;

export const titleOf = (stream) => {
  const title = stream.metadata?.title;
  return typeof title === "string" && title.trim() ? title.trim() : `Stream ${stream.roomName ?? stream.streamId}`;
};

const STATUS_WORDS = { creating: "Starting", active: "Live", stopping: "Stopping", stopped: "Ended", error: "Failed" };

export function showStatus(badge, status) {
  badge.dataset.status = status;
  setText(badge, STATUS_WORDS[status] ?? status);
}

const FEED_WORDS = { connecting: "Connecting…", open: "Up to date", reconnecting: "Reconnecting…", ended: "Closed" };

export function showFeed(state) {
  const pill = find("#feed");
  pill.dataset.state = state;
  setText(pill, FEED_WORDS[state]);
}

const precise = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const plain = new Intl.NumberFormat();
const inMinutes = new Intl.NumberFormat(undefined, { style: "unit", unit: "minute", unitDisplay: "long" });

export const number = (count) => plain.format(count);
export const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;
export const preciseTimeOf = (timestamp) => precise.format(new Date(timestamp));

// With the date where it was not today.
export function timeOf(timestamp) {
  const then = new Date(timestamp);
  return (then.toDateString() === new Date().toDateString() ? minute : dated).format(then);
}

function agoOf(timestamp) {
  // A clock that is a little behind the server's would speak of the future.
  const seconds = Math.min(0, (new Date(timestamp) - Date.now()) / 1_000);
  if (seconds > -60) return "just now";
  if (seconds > -3_600) return ago.format(Math.round(seconds / 60), "minute");
  if (seconds > -86_400) return ago.format(Math.round(seconds / 3_600), "hour");
  return ago.format(Math.round(seconds / 86_400), "day");
}

export const startedOf = (stream) => `started ${agoOf(stream.startedAt ?? stream.createdAt)}`;

// What is left to say of a stream that is over.
export function summaryOf({ startedAt, stoppedAt, peakParticipantCount }) {
  const minutes = Math.round((new Date(stoppedAt) - new Date(startedAt)) / 60_000);
  const lasted = startedAt && stoppedAt ? `It lasted ${minutes < 1 ? "less than a minute" : inMinutes.format(minutes)}` : "";
  const peak = peakParticipantCount > 0 ? `${counted(peakParticipantCount, "person was", "people were")} here at most` : "";
  return [lasted, peak].filter(Boolean).join("; ");
}

export const roomLink = (stream, role) => {
  const link = new URL("/room.html", location.href);
  link.searchParams.set("streamId", stream.streamId ?? stream.id);
  if (role) link.searchParams.set("role", role);
  return link.href;
};
