// The caller's LiveKit access token, stored for this browser tab, and the dialog that asks for it.

import { find, make, openDialog } from "./dom.js";

const STORAGE_KEY = "token";

let token = loadToken();
let pendingPrompt = null; // the promise of the open dialog, if there is one
let isDeclined = false; // the user closed the dialog without a token; it opens again on request only
const listeners = [];

export const bearerToken = () => token;
export const onTokenChange = (listener) => listeners.push(listener);
export const allowPrompt = () => (isDeclined = false);

// Adds the token to the query, because an EventSource cannot send headers.
export function withToken(path, used = token) {
  const url = new URL(path, location.href);
  if (used) url.searchParams.set("access_token", used);
  return url;
}

// Decodes the token's claims without verifying the signature: for display only. Returns null if there are none.
export function claims() {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (char) => char.charCodeAt(0))));
  } catch {
    return null;
  }
}

// Returns {identity, name, role} if the token is a join token for this room that cannot administer or create rooms.
export function joinClaims(roomName) {
  const found = claims();
  const video = found?.video;
  const isJoinToken = video?.roomJoin && video.room === roomName && !video.roomAdmin && !video.roomCreate;
  if (!isJoinToken) return null;
  return { identity: found.sub, name: found.name || found.sub, role: video.canPublish === false ? "viewer" : "host" };
}

// Asks for a token that replaces the rejected one. Returns true if there is another token now. Concurrent callers share
// one dialog.
export async function promptForToken(rejected, detail) {
  if (token !== rejected) return true;
  if (isDeclined) return false;
  pendingPrompt ??= showPrompt(rejected, detail).finally(() => (pendingPrompt = null));
  return pendingPrompt;
}

async function showPrompt(rejected, detail) {
  const { dialog, field } = makeDialog(rejected, detail);
  const entered = (await openDialog(dialog)) && field.value.trim();
  isDeclined = !entered;
  if (entered) setToken(entered);
  showAccount();
  return Boolean(entered);
}

function makeDialog(rejected, detail) {
  const reason = rejected
    ? `The service did not accept your token${detail ? `: ${detail}` : ", or it has expired"}.`
    : "This service requires a LiveKit access token.";
  const field = make("textarea", {
    name: "token", rows: 4, required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "none",
  });
  const dialog = make("dialog", { id: "token", "aria-labelledby": "token-heading", "aria-describedby": "token-reason" },
    make("form", { method: "dialog" },
      make("h2", { id: "token-heading" }, "Access token required"),
      make("p", { id: "token-reason", role: rejected ? "alert" : null, class: rejected ? "error" : null }, reason),
      make("label", {}, "Token", field),
      makeInstructions(),
      make("p", { class: "hint" }, "The token is stored in this tab only, until you close the tab."),
      make("div", { class: "actions end" },
        make("button", { value: "no", formnovalidate: true }, "Not now"),
        make("button", { value: "yes", class: "primary" }, "Continue"),
      ),
    ),
  );
  return { dialog, field };
}

const EXAMPLES = [
  ["With LiveKit’s command line, for all streams:", "--create --list"],
  ["For one room, with all rights in it:", "--admin --room ROOM"],
  ["To join one room as yourself:", "--join --room ROOM"],
];

const command = (grants) => `lk token create --api-key KEY --api-secret SECRET \\\n  --identity ME ${grants}`;

const makeInstructions = () =>
  make("details", { open: true },
    make("summary", {}, "How to create a token"),
    ...EXAMPLES.flatMap(([text, grants]) => [
      make("p", { class: "hint" }, text),
      make("pre", { tabindex: "0" }, make("code", {}, command(grants))),
    ]),
  );

function setToken(entered) {
  token = entered;
  try {
    sessionStorage.setItem(STORAGE_KEY, entered);
  } catch {
    // The browser forbids storage: the token is lost when the page is left.
  }
  for (const listener of listeners) listener();
}

function loadToken() {
  try {
    return sessionStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}

// Shows the button that changes the token. It stays hidden while the service has not asked for a token.
export function showAccount() {
  const account = find("#account");
  account.hidden = false;
  account.querySelector(".label").textContent = claims()?.sub || "Token";
}

find("#account").addEventListener("click", () => showPrompt(null));
if (token) showAccount();
