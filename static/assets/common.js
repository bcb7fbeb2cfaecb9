// What both pages need: the API, elements, words.

export class ApiError extends Error {
  constructor(status, { code, title, detail, errors }) {
    super(detail || title || `The server answered ${status}.`);
    this.status = status;
    this.code = code ?? "unknown";
    this.fields = errors ?? [];
  }
}

export async function call(method, path, body, options = {}) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const request = { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options };
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new ApiError(0, { code: "unreachable", detail: "The server does not answer. Please try again in a moment." });
  }
  const document = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, document);
  return { document, response };
}

// The address of the next page, from `Link: <…>; rel="next"` (RFC 8288).
export function nextPage(response) {
  return response.headers.get("link")?.match(/<([^>]+)>\s*;\s*rel="?next"?/)?.[1] ?? null;
}

// An element with attributes and children. Strings become text, never markup.
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/assets/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export const find = (selector) => document.querySelector(selector);

// Sets text only where it differs, so that screen readers and transitions are left alone.
export function setText(target, text) {
  if (target.textContent !== String(text)) target.textContent = text;
}

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

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
export const number = new Intl.NumberFormat();
export const timeOf = (timestamp) => clock.format(new Date(timestamp));
export const hourOf = (timestamp) => hour.format(new Date(timestamp));

function agoOf(timestamp) {
  const seconds = Math.min(0, (new Date(timestamp) - Date.now()) / 1_000);
  if (seconds > -60) return "just now";
  if (seconds > -3_600) return ago.format(Math.round(seconds / 60), "minute");
  if (seconds > -86_400) return ago.format(Math.round(seconds / 3_600), "hour");
  return ago.format(Math.round(seconds / 86_400), "day");
}

export const startedOf = (stream) => `started ${agoOf(stream.startedAt ?? stream.createdAt)}`;

export const roomLink = (stream, role) => {
  const link = new URL("/room.html", location.href);
  link.searchParams.set("streamId", stream.streamId ?? stream.id);
  if (role) link.searchParams.set("role", role);
  return link.href;
};

// Copies an invitation and says so on the button.
export async function copyLink(button, link) {
  const label = button.querySelector(".label");
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    window.prompt("Copy this link:", link);
    return;
  }
  const before = label.dataset.text ?? (label.dataset.text = label.textContent);
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = before), 2_000);
}

export async function health() {
  const { document: summary } = await call("GET", "/health");
  find("#simulated").hidden = summary.livekit.kind !== "simulated";
  return summary;
}
