// The list of raised hands, for hosts who may bring viewers on stage.

import { makeAnnouncer } from "./announcer.js";
import { isAddressable } from "./api.js";
import { arrangeRows, find, make, runOnce, setText, setTime } from "./dom.js";
import { formatCount, formatNumber, formatTime, isolate } from "./format.js";

const announce = makeAnnouncer(find("#hands-announcement"));

// Shows the raised hands, the earliest first. `invite(identity)` brings a viewer on stage; null hides the list.
export function showHands(participants, invite) {
  const raised = participants.filter(({ handRaisedAt }) => handRaisedAt);
  raised.sort((a, b) => a.handRaisedAt.localeCompare(b.handRaisedAt) || a.identity.localeCompare(b.identity));
  find("#hands").hidden = !invite || raised.length === 0;
  if (!invite) return;
  setText(find("#hands-count"), formatNumber(raised.length));
  announce(raised.length > 0 ? `${formatCount(raised.length, "raised hand", "raised hands")}.` : "");
  const list = find("#hands ol");
  const existing = new Map([...list.children].map((row) => [row.dataset.identity, row]));
  const rows = raised.map((participant) => {
    const row = existing.get(participant.identity) ?? makeRow(participant.identity, invite);
    fillRow(row, participant);
    return row;
  });
  arrangeRows(list, rows);
}

function fillRow(row, { identity, name, handRaisedAt }) {
  const shown = name || identity;
  setText(row.querySelector(".initial"), [...shown][0].toUpperCase());
  setText(row.querySelector(".name"), shown);
  setTime(row.querySelector("time"), handRaisedAt, formatTime(handRaisedAt));
  row.querySelector("button").setAttribute("aria-label", `Invite on stage: ${isolate(shown)}`);
  row.querySelector("button").hidden = !isAddressable(identity);
}

function makeRow(identity, invite) {
  const button = make("button", { type: "button", class: "primary invite" }, "Invite on stage");
  button.addEventListener("click", () => runOnce(button, () => invite(identity)));
  return make("li", { "data-identity": identity },
    make("span", { class: "initial", "aria-hidden": "true" }),
    make("div", {},
      make("p", { class: "name" }),
      make("p", { class: "hint" }, "since ", make("time")),
    ),
    button,
  );
}
