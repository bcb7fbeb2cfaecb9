// Titles, times and numbers as text, in the browser's time zone and locale.

// Encloses a name in Unicode isolates (U+2068, U+2069), so that direction marks in it do not affect the text around it.
export const isolate = (name) => `\u2068${name}\u2069`;

export const titleOf = (stream) => {
  const title = stream.metadata?.title;
  return typeof title === "string" && title.trim() ? title.trim() : `Stream ${stream.roomName ?? stream.streamId}`;
};

const timeWithSeconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });
const relativeTime = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const plainNumber = new Intl.NumberFormat();
const minutesLong = new Intl.NumberFormat(undefined, { style: "unit", unit: "minute", unitDisplay: "long" });

export const formatNumber = (count) => plainNumber.format(count);
export const formatCount = (count, one, many) => `${formatNumber(count)} ${count === 1 ? one : many}`;
export const formatPreciseTime = (timestamp) => timeWithSeconds.format(new Date(timestamp));

// Formats a time of today without its date.
export function formatTime(timestamp) {
  const date = new Date(timestamp);
  return (date.toDateString() === new Date().toDateString() ? timeOfDay : dateAndTime).format(date);
}

function formatAge(timestamp) {
  // The browser's clock may be behind the server's, which would give a time in the future.
  const seconds = Math.min(0, (new Date(timestamp) - Date.now()) / 1_000);
  if (seconds > -60) return "just now";
  if (seconds > -3_600) return relativeTime.format(Math.round(seconds / 60), "minute");
  if (seconds > -86_400) return relativeTime.format(Math.round(seconds / 3_600), "hour");
  return relativeTime.format(Math.round(seconds / 86_400), "day");
}

export const formatStart = (stream) => `started ${formatAge(stream.startedAt ?? stream.createdAt)}`;

// Describes the duration and the peak of a stream that has ended. Returns an empty string if neither is known.
export function formatSummary({ startedAt, stoppedAt, peakParticipantCount }) {
  const minutes = Math.round((new Date(stoppedAt) - new Date(startedAt)) / 60_000);
  const duration = minutes < 1 ? "less than a minute" : minutesLong.format(minutes);
  const lasted = startedAt && stoppedAt ? `It lasted ${duration}` : "";
  const people = formatCount(peakParticipantCount, "person", "people");
  const peak = peakParticipantCount > 0 ? `at most ${people} at once` : "";
  return [lasted, peak].filter(Boolean).join("; ");
}

// Returns the URL of a stream's page, with the role that its form proposes.
export const roomLink = (stream, role) => {
  const link = new URL("/room.html", location.href);
  link.searchParams.set("streamId", stream.streamId ?? stream.id);
  if (role) link.searchParams.set("role", role);
  return link.href;
};
