// Requests to the service's HTTP API, with the caller's token.

import { find } from "./dom.js";
import { follow } from "./live.js";
import { bearerToken, onTokenChange, promptForToken, withToken } from "./token.js";

const TRANSIENT_STATUSES = [0, 429, 502, 503, 504];
const UNREACHABLE = "The server does not answer. Please try again in a moment.";

// An error response, from its problem document (RFC 9457). The status is 0 if no response arrived.
export class ApiError extends Error {
  constructor(status, { code, title, detail, errors }) {
    super(detail || title || `The server answered ${status}.`);
    this.status = status;
    this.code = code ?? "unknown";
    this.fieldErrors = errors ?? [];
  }

  // True if the same request may succeed later.
  get isTransient() {
    return TRANSIENT_STATUSES.includes(this.status);
  }
}

// False for an identity that no path can name, because browsers resolve dot segments also if they are percent-encoded.
export const isAddressable = (identity) => !/^\.{1,2}$/.test(identity);

// Sends a request and returns {body, response}. After a 401 it prompts for a token and sends the request again.
// Throws an ApiError for every status outside 2xx, and if no response arrives. With the option `accept: "text/csv"` the
// body is text.
export async function request(method, path, payload, options = {}) {
  for (;;) {
    const token = bearerToken();
    const { response, body } = await send(method, path, payload, token, options);
    if (response.ok) return { body, response };
    // A page that is being closed cannot show a prompt.
    if (response.status === 401 && !options.keepalive && (await promptForToken(token, body.detail))) continue;
    throw new ApiError(response.status, { ...body, detail: detailFor(response, body) });
  }
}

async function send(method, path, payload, token, { accept, ...options }) {
  const headers = {};
  if (accept) headers.accept = accept;
  if (payload !== undefined) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  try {
    const response = await fetch(path, { method, headers, body: JSON.stringify(payload), ...options });
    const isText = response.ok && accept === "text/csv";
    return { response, body: await (isText ? response.text() : response.json().catch(() => ({}))) };
  } catch {
    throw new ApiError(0, { code: "unreachable", detail: UNREACHABLE });
  }
}

function detailFor(response, { detail }) {
  switch (response.status) {
    case 401:
      return "This needs an access token.";
    case 403:
      return `Your token does not allow this: ${detail}.`;
    case 429:
      return `Too many requests. Please try again ${retryDelay(response)}.`;
    default:
      return detail;
  }
}

function retryDelay(response) {
  const seconds = Number(response.headers.get("retry-after"));
  return seconds > 1 ? `in ${seconds} seconds` : "in a moment";
}

// Returns the URL of the next page from `Link: <…>; rel="next"` (RFC 8288), or null on the last page.
export function nextPageUrl(response) {
  return response.headers.get("link")?.match(/<([^>]+)>\s*;\s*rel="?next"?/)?.[1] ?? null;
}

// Follows a feed with the caller's token. After a 401 or 403 the feed resumes with the next token that the user enters.
export function followEvents(path, handlers) {
  let usedToken = null;
  let isRejected = false;
  const url = () => withToken(path, (usedToken = bearerToken()));
  const onState = (state, status) => {
    isRejected = state === "ended" && (status === 401 || status === 403);
    if (isRejected && status === 401) promptForToken(usedToken);
    handlers.onState(state, status);
  };
  const feed = follow(url, { ...handlers, onState });
  onTokenChange(() => isRejected && feed.reopen());
  return feed;
}

// Returns the summary of `GET /health`, and shows the banner if rooms are simulated.
export async function fetchHealth() {
  const { body: summary } = await request("GET", "/health");
  find("#simulated").hidden = summary.livekit.kind !== "simulated";
  return summary;
}
