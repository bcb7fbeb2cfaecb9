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

export const formatDateTime = (timestamp) => dateAndTime.format(new Date(timestamp));

// Formats a duration as hours, minutes and seconds: 1:02:03, 2:03 or 0:03.
export function formatDuration(seconds) {
  const [hours, minutes, rest] = [seconds / 3_600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  const two = (part) => String(part).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

// Formats a number of bytes: 34 MB, 1.2 GB.
export function formatSize(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(1, bytes)) / 3), UNITS.length - 1);
  const value = bytes / 1_000 ** power;
  const options = { style: "unit", unit: UNITS[power], maximumFractionDigits: value < 10 ? 1 : 0 };
  return new Intl.NumberFormat(undefined, options).format(value);
}

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
