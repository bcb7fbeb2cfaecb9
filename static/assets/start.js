// The form that starts a stream.

import { call } from "./api.js";
import { button, copyLink, find, make, setText } from "./dom.js";
import { roomLink, titleOf } from "./words.js";

const form = find("#start");

function fail(error) {
  const problem = find("#start-error");
  problem.hidden = !error;
  setText(problem, error?.message ?? "");
  const wrong = error?.fields?.map((field) => field.field) ?? [];
  for (const input of form.querySelectorAll("input")) {
    const isWrong = wrong.includes(input.name);
    input.setAttribute("aria-invalid", isWrong);
    // What is wrong must not be folded away.
    if (isWrong && input.closest("details")) input.closest("details").open = true;
  }
}

function wanted() {
  const { title, roomName, maxParticipants } = Object.fromEntries(new FormData(form));
  const body = {};
  if (title.trim()) body.metadata = { title: title.trim() };
  if (roomName.trim()) body.roomName = roomName.trim();
  if (maxParticipants) body.maxParticipants = Number(maxParticipants);
  return body;
}

// `started` is told of the new stream.
export function prepareStart(started) {
  form.addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const submitter = form.querySelector("[type=submit]");
    submitter.disabled = true;
    fail(null);
    find("#started").hidden = true;
    try {
      const { document: stream, response } = await call("POST", "/streams", wanted());
      started(stream);
      form.reset();
      announce(stream, response.status === 201);
    } catch (error) {
      fail(error);
    } finally {
      submitter.disabled = false;
    }
  });
}

function announce(stream, isNew) {
  const words = isNew ? "is live. Bring your camera, or invite others." : "is live already under that room name.";
  const invite = button("link", "Invite");
  invite.addEventListener("click", () => copyLink(invite, roomLink(stream, "viewer")));
  find("#started").replaceChildren(
    make("p", {}, make("strong", {}, titleOf(stream)), ` ${words}`),
    make("div", { class: "actions" }, make("a", { class: "button primary", href: roomLink(stream, "host") }, "Join as host"), invite),
  );
  find("#started").hidden = false;
}
