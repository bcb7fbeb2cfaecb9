// The buttons below the video tiles.

import { find, runOnce, setIcon, setText } from "./dom.js";
import { deviceErrorMessage } from "./media.js";
import { showNotice } from "./notices.js";

// `consequence` completes the message about a device that does not start.
const DEVICES = {
  microphone: {
    button: "#mic",
    on: { icon: "mic", label: "Mute" },
    off: { icon: "mic-off", label: "Unmute" },
    consequence: "Others cannot hear you.",
  },
  camera: {
    button: "#camera",
    on: { icon: "camera", label: "Stop camera" },
    off: { icon: "camera-off", label: "Start camera" },
    consequence: "Others cannot see you.",
  },
  screen: {
    button: "#screen",
    on: { icon: "screen", label: "Stop sharing" },
    off: { icon: "screen", label: "Share screen" },
  },
};
const SCREEN_NOT_SHARED = "Your screen is not shared: it was cancelled or refused.";

export class Controls {
  #room;
  #tiles;
  #optionsFor;
  #state = { role: undefined, isSimulated: false, tileCount: 0, isHandRaised: false };

  // `room` is a LiveKitRoom, or null if rooms are simulated. `optionsFor(device)` returns capture options.
  // `setHand(isRaised)` raises or lowers the user's hand.
  constructor(room, tiles, optionsFor, setHand) {
    this.#room = room;
    this.#tiles = tiles;
    this.#optionsFor = optionsFor;
    for (const [device, { button }] of Object.entries(DEVICES)) {
      find(button).addEventListener("click", () => this.setDevice(device, !room?.isPublishing(device)));
    }
    find("#sound").addEventListener("click", () => room?.startAudio());
    find("#hand").addEventListener("click", ({ currentTarget }) =>
      runOnce(currentTarget, () => setHand(!this.#state.isHandRaised)),
    );
  }

  // Starts or stops a device. A device that does not start causes a notice, and the participant stays in the stream.
  async setDevice(device, isOn) {
    const button = find(DEVICES[device].button);
    button.disabled = true;
    try {
      await this.#room.publish(device, isOn, device === "screen" ? undefined : this.#optionsFor(device));
      showNotice(device, "");
    } catch (error) {
      showNotice(device, errorMessage(device, error), "warn");
    }
    button.disabled = false;
    this.show();
  }

  // Updates all buttons. An omitted value keeps its last value.
  show(changes = {}) {
    Object.assign(this.#state, changes);
    const { role, isSimulated, tileCount } = this.#state;
    for (const button of document.querySelectorAll("#live .host")) {
      button.hidden = role !== "host" || (isSimulated && button.id !== "stop");
    }
    find("#screen").hidden ||= !navigator.mediaDevices?.getDisplayMedia;
    find("#sound").hidden = !this.#room?.needsAudioStart;
    find("#view").hidden = tileCount < 2;
    this.#showView();
    this.#showHand();
    for (const device of Object.keys(DEVICES)) this.#showDevice(device);
  }

  #showDevice(device) {
    const isOn = Boolean(this.#room?.isPublishing(device));
    const { icon, label } = isOn ? DEVICES[device].on : DEVICES[device].off;
    const button = find(DEVICES[device].button);
    button.toggleAttribute("data-on", isOn);
    setIcon(button, icon);
    setText(button.querySelector(".label"), label);
  }

  // A viewer asks with it to come on stage.
  #showHand() {
    const { role, isHandRaised } = this.#state;
    find("#hand").hidden = role !== "viewer";
    find("#hand").toggleAttribute("data-on", isHandRaised);
    setIcon(find("#hand"), isHandRaised ? "hand-down" : "hand");
    setText(find("#hand .label"), isHandRaised ? "Lower hand" : "Raise hand");
  }

  // The button names the view that it switches to.
  #showView() {
    const isGrid = this.#tiles.view === "grid";
    setIcon(find("#view"), isGrid ? "speaker" : "grid");
    setText(find("#view .label"), isGrid ? "Speaker view" : "Grid view");
  }
}

function errorMessage(device, error) {
  if (device === "screen") return SCREEN_NOT_SHARED;
  return `${deviceErrorMessage(device, error)} ${DEVICES[device].consequence}`;
}
