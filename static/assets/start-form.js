// The form that creates a stream.

import { request } from "./api.js";
import { copyLink, find, make, makeButton, setText } from "./dom.js";
import { roomLink, titleOf } from "./format.js";

const form = find("#start");

// Shows an ApiError and marks the invalid fields; null clears both.
function showError(error) {
  const problem = find("#start-error");
  problem.hidden = !error;
  setText(problem, error?.message ?? "");
  const invalid = error?.fieldErrors?.map(({ field }) => field) ?? [];
  for (const input of form.querySelectorAll("input")) {
    const isInvalid = invalid.includes(input.name);
    input.setAttribute("aria-invalid", isInvalid);
    // An invalid field must be visible, so its collapsed section is opened.
    if (isInvalid && input.closest("details")) input.closest("details").open = true;
  }
}

function readForm() {
  const { title, roomName, maxParticipants, backstage } = Object.fromEntries(new FormData(form));
  const payload = {};
  if (title.trim()) payload.metadata = { title: title.trim() };
  if (roomName.trim()) payload.roomName = roomName.trim();
  if (maxParticipants) payload.maxParticipants = Number(maxParticipants);
  if (backstage) payload.backstage = true;
  return payload;
}

// Handles the form. `onCreated` is called with each stream that was created, or that existed under the room name.
export function initStartForm(onCreated) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const submit = form.querySelector("[type=submit]");
    submit.disabled = true;
    showError(null);
    find("#started").hidden = true;
    try {
      const { body: stream, response } = await request("POST", "/streams", readForm());
      onCreated(stream);
      form.reset();
      showResult(stream, response.status === 201);
    } catch (error) {
      showError(error);
    } finally {
      submit.disabled = false;
    }
  });
}

function showResult(stream, isNew) {
  const state = stream.backstage ? "backstage" : "live";
  const text = isNew ? `is ${state}. Join as host, or invite others.` : `is already ${state} under that room name.`;
  const invite = makeButton("link", "Invite");
  invite.addEventListener("click", () => copyLink(invite, roomLink(stream, "viewer")));
  const join = make("a", { class: "button primary", href: roomLink(stream, "host") }, "Join as host");
  find("#started").replaceChildren(
    make("p", {}, make("strong", {}, titleOf(stream)), ` ${text}`),
    make("div", { class: "actions" }, join, invite),
  );
  find("#started").hidden = false;
}
