// The service's API.

import { find } from "./dom.js";
import { follow } from "./live.js";
import { askForToken, bearer, onToken, withToken } from "./token.js";

const UNREACHABLE = "The server does not answer. Please try again in a moment.";

export class ApiError extends Error {
  constructor(status, { code, title, detail, errors }) {
    super(detail || title || `The server answered ${status}.`);
    this.status = status;
    this.code = code ?? "unknown";
    this.fields = errors ?? [];
  }
}

// Asks for a token where the service wants one, and tries again with it.
export async function call(method, path, body, options = {}) {
  for (;;) {
    const token = bearer();
    const { response, document } = await send(method, path, body, token, options);
    if (response.ok) return { document, response };
    if (response.status === 401 && !options.keepalive && (await askForToken(token, document.detail))) continue;
    if (response.status === 401) document.detail = "A token is needed for this.";
    if (response.status === 403) document.detail = `Your token does not allow this: ${document.detail}.`;
    if (response.status === 429) document.detail = `Too many requests. Please try again ${inAWhile(response)}.`;
    throw new ApiError(response.status, document);
  }
}

async function send(method, path, body, token, options) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  try {
    const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options });
    return { response, document: await response.json().catch(() => ({})) };
  } catch {
    throw new ApiError(0, { code: "unreachable", detail: UNREACHABLE });
  }
}

function inAWhile(response) {
  const seconds = Number(response.headers.get("retry-after"));
  return seconds > 1 ? `in ${seconds} seconds` : "in a moment";
}

// The address of the next page, from `Link: <…>; rel="next"` (RFC 8288).
export function nextPage(response) {
  return response.headers.get("link")?.match(/<([^>]+)>\s*;\s*rel="?next"?/)?.[1] ?? null;
}

// Events with resume. Where the service wants a token, or another one, the feed goes on with it from where it was.
export function followEvents(path, handlers) {
  let used = null;
  let refused = false;
  const url = () => withToken(path, (used = bearer()));
  const onState = (state, status) => {
    refused = state === "ended" && (status === 401 || status === 403);
    if (refused && status === 401) askForToken(used);
    handlers.onState(state, status);
  };
  const feed = follow(url, { ...handlers, onState });
  onToken(() => refused && feed.reopen());
  return feed;
}

export async function health() {
  const { document: summary } = await call("GET", "/health");
  find("#simulated").hidden = summary.livekit.kind !== "simulated";
  return summary;
}
