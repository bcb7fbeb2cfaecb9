// What a host may do to other participants and to the stream: the requests, and the buttons that make them.

import { request } from "./api.js";
import { BlockList } from "./block-list.js";
import { Blocks, confirmBlock } from "./blocks.js";
import { confirmAction, copyLink, find, make, makeIcon, setIcon, setText } from "./dom.js";
import { formatCount, isolate, roomLink } from "./format.js";
import { makeMenu } from "./menu.js";
import { messageFor } from "./messages.js";
import { showNotice, showTransientNotice } from "./notices.js";
import { bearerToken, claims } from "./token.js";

const DANGEROUS = ["remove", "block"];

export class Moderation {
  #stream;
  #sourcesOf;
  #inviteMenu;
  #blockList;

  // `sourcesOf(participant)` returns the sources that a participant sends; `onStopped()` is called after a stop.
  constructor(stream, { sourcesOf, onStopped }) {
    this.#stream = stream;
    this.#sourcesOf = sourcesOf;
    this.blocks = new Blocks(stream, () => this.#blockList.draw());
    this.#blockList = new BlockList(this.blocks, (participant) => this.#unblock(participant));
    find("#live-toggle").addEventListener("click", () => this.#toggleLive());
    find("#stop").addEventListener("click", async () => (await this.#stop()) && onStopped());
    this.#inviteMenu = makeMenu(find("#invite"), () => this.#links());
    this.#inviteMenu.ariaLabel = "Links to this stream";
    find("#invite").after(this.#inviteMenu);
    find("#invite").addEventListener("click", ({ currentTarget }) => {
      if (!currentTarget.popoverTargetElement) this.#copyLink("viewer");
    });
  }

  // True if the caller may moderate: without authentication, or with a token that administers the room.
  get isAllowed() {
    if (!bearerToken()) return true;
    const video = claims()?.video;
    return Boolean(video?.roomAdmin) && video.room === this.#stream.document.roomName;
  }

  // Returns the button and the menu of a participant. The list labels them with the participant's name.
  makeMenu(participant) {
    const button = make("button", { type: "button", class: "more" }, makeIcon("more"));
    const current = () => this.#stream.participants.get(participant.identity) ?? participant;
    return [button, makeMenu(button, () => this.#itemsFor(current()))];
  }

  #itemsFor(participant) {
    const { identity, state, role, handRaisedAt } = participant;
    const isBlocked = this.blocks.has(identity);
    const isPresent = state !== "disconnected";
    const sendsSound = state === "active" && this.#sourcesOf(participant).includes("microphone");
    const path = this.#pathOf(identity);
    const actions = {
      mute: sendsSound && ["Mute", "mic-off", () => this.#send("POST", `${path}/mute`, {})],
      promote: isPresent && role === "viewer" && ["Bring on stage", "stage", () => this.invite(identity)],
      demote: isPresent && role === "host" && ["Back to the audience", "people", () => this.#demote(path)],
      lower: handRaisedAt && ["Lower hand", "hand-down", () => this.setHand(identity, false)],
      remove: isPresent && ["Remove", "leave", () => this.#send("DELETE", path)],
      block: !isBlocked && ["Block", "block", () => this.#block(participant)],
      unblock: isBlocked && ["Unblock", "check", () => this.#unblock(participant)],
    };
    const possible = Object.entries(actions).filter(([, action]) => action);
    return possible.map(([name, [label, icon, choose]]) => {
      return { name, label, icon, choose, isDangerous: DANGEROUS.includes(name) };
    });
  }

  #pathOf(identity) {
    return `${this.#stream.path}/participants/${encodeURIComponent(identity)}`;
  }

  // Sends a request. Returns the body of the response if it succeeds, otherwise null; a failure causes a notice.
  async #send(method, path, payload) {
    try {
      const { body } = await request(method, path, payload);
      showNotice("moderation", "");
      return body;
    } catch (error) {
      showNotice("moderation", messageFor(error), "error");
      return null;
    }
  }

  // Brings a viewer on stage.
  invite(identity) {
    return this.#send("PATCH", this.#pathOf(identity), { role: "host" });
  }

  #demote(path) {
    return this.#send("PATCH", path, { role: "viewer" });
  }

  async #block({ identity, name }) {
    if (!(await confirmBlock(name || identity))) return;
    if (await this.#send("PUT", this.blocks.pathOf(identity), {})) {
      showTransientNotice("moderation", `${isolate(name || identity)} is blocked.`);
    }
  }

  async #unblock({ identity, name }) {
    if (await this.#send("DELETE", this.blocks.pathOf(identity))) {
      showTransientNotice("moderation", `${isolate(name || identity)} may join again.`);
    }
  }

  // Raises or lowers a hand, the caller's own or that of another participant.
  async setHand(identity, isRaised) {
    const participant = await this.#send(isRaised ? "PUT" : "DELETE", `${this.#pathOf(identity)}/hand`);
    if (participant) this.#stream.showParticipant(participant);
  }

  async #stop() {
    const consequence = "All participants are disconnected. This cannot be undone.";
    const isConfirmed = await confirmAction("Stop the stream for everyone?", consequence, "Stop for all");
    return isConfirmed && this.#send("DELETE", this.#stream.path);
  }

  async #toggleLive() {
    const { backstage, participantCounts } = this.#stream.document;
    if (!backstage && participantCounts.viewers > 0 && !(await this.#confirmBackstage(participantCounts))) return;
    await this.#send("POST", `${this.#stream.path}/${backstage ? "go_live" : "stop_live"}`, {});
  }

  #confirmBackstage({ viewers }) {
    const disconnected = formatCount(viewers, "viewer is", "viewers are");
    const consequence = `${disconnected} disconnected until the stream is live again.`;
    return confirmAction("Take the stream backstage?", consequence, "Backstage");
  }

  #links() {
    return [
      { name: "viewers", label: "Copy link for viewers", icon: "people", choose: () => this.#copyLink("viewer") },
      { name: "hosts", label: "Copy link for hosts", icon: "stage", choose: () => this.#copyLink("host") },
    ];
  }

  #copyLink(role) {
    return copyLink(find("#invite"), roomLink(this.#stream.document, role));
  }

  // Shows the buttons of the header and the list of blocks. `isModerator` is true for a host who may moderate. For such
  // a host the button for invitations opens a menu, for others it copies the viewers' link.
  showHeader(isModerator) {
    if (isModerator) this.blocks.load();
    this.#blockList.show(isModerator);
    const invite = find("#invite");
    invite.popoverTargetElement = isModerator ? this.#inviteMenu : null;
    invite.ariaHasPopup = isModerator ? "menu" : null;
    invite.ariaExpanded = isModerator ? String(this.#inviteMenu.matches(":popover-open")) : null;
    const { backstage, status } = this.#stream.document;
    const toggle = find("#live-toggle");
    toggle.hidden = !isModerator || status !== "active";
    toggle.classList.toggle("primary", backstage);
    setIcon(toggle, backstage ? "broadcast" : "backstage");
    setText(toggle.querySelector(".label"), backstage ? "Go live" : "Backstage");
    toggle.setAttribute("aria-label", backstage ? "Go live" : "Take the stream backstage");
  }
}
