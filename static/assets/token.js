// The caller's token, where the service wants one: a LiveKit access token. It stays in this tab.

import { ask, find, make } from "./dom.js";

const KEY = "token";

let token = recall();
let asking = null; // the question that is being asked, if any
let declined = false; // answered with "not now": nobody is asked again unasked
const listeners = [];

export const bearer = () => token;
// Calls when there is another token.
export const onToken = (listener) => listeners.push(listener);
export const askAgain = () => (declined = false);

// An EventSource cannot send headers.
export function withToken(path, used = token) {
  const url = new URL(path, location.href);
  if (used) url.searchParams.set("access_token", used);
  return url;
}

// What a token says about its owner. Only to be shown: the service checks it.
export function claims() {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (char) => char.charCodeAt(0))));
  } catch {
    return null;
  }
}

// A token that is itself good for joining this room, and for no more.
export function joinClaims(roomName) {
  const found = claims();
  const video = found?.video;
  const isOwn = video?.roomJoin && video.room === roomName && !video.roomAdmin && !video.roomCreate;
  return isOwn ? { identity: found.sub, name: found.name || found.sub, role: video.canPublish === false ? "viewer" : "host" } : null;
}

// Asks for a token in place of the one that was refused. True where there is another one now.
export async function askForToken(refused, detail) {
  if (token !== refused) return true;
  if (declined) return false;
  asking ??= question(refused, detail).finally(() => (asking = null));
  return asking;
}

async function question(refused, detail) {
  const why = refused
    ? `The service did not accept your token${detail ? `: ${detail}` : ", or it has expired"}.`
    : "This service wants to know who you are. Enter a LiveKit access token.";
  const field = make("textarea", { name: "token", rows: 4, required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "none" });
  const dialog = make("dialog", { id: "token", "aria-labelledby": "token-heading", "aria-describedby": "token-why" },
    make("form", { method: "dialog" },
      make("h2", { id: "token-heading" }, "A token is needed"),
      make("p", { id: "token-why", role: refused ? "alert" : null, class: refused ? "error" : null }, why),
      make("label", {}, "Token", field),
      make("details", { open: true },
        make("summary", {}, "How to make one"),
        make("p", { class: "hint" }, "With LiveKit’s command line, for all streams:"),
        make("pre", { tabindex: "0" }, make("code", {}, command("--create --list"))),
        make("p", { class: "hint" }, "For one room, with all rights in it:"),
        make("pre", { tabindex: "0" }, make("code", {}, command("--admin --room ROOM"))),
        make("p", { class: "hint" }, "To join one room as yourself:"),
        make("pre", { tabindex: "0" }, make("code", {}, command("--join --room ROOM"))),
      ),
      make("p", { class: "hint" }, "It is kept in this tab only, and gone when you close it."),
      make("div", { class: "actions end" },
        make("button", { value: "no", formnovalidate: true }, "Not now"),
        make("button", { value: "yes", class: "primary" }, "Continue"),
      ),
    ),
  );
  const entered = (await ask(dialog)) && field.value.trim();
  declined = !entered;
  if (entered) keep(entered);
  showAccount();
  return Boolean(entered);
}

const command = (grants) => `lk token create --api-key KEY --api-secret SECRET \\\n  --identity ME ${grants}`;

function keep(entered) {
  token = entered;
  try {
    sessionStorage.setItem(KEY, entered);
  } catch {
    // Storage is switched off: the token lives as long as this page.
  }
  for (const listener of listeners) listener();
}

function recall() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

// A way to another token, once one was asked for.
export function showAccount() {
  const account = find("#account");
  account.hidden = false;
  account.querySelector(".label").textContent = claims()?.sub || "Token";
}

find("#account").addEventListener("click", () => question(null));
if (token) showAccount();
