// The buttons below the tiles.

import { find, setIcon, setText } from "./dom.js";
import { deviceProblem } from "./media.js";
import { say } from "./notices.js";

// Device, its button, icons and words for on and off, and what it means where the device does not start.
const DEVICES = {
  microphone: { button: "#mic", icons: ["mic", "mic-off"], words: ["Mute", "Unmute"], without: "Others cannot hear you." },
  camera: { button: "#camera", icons: ["camera", "camera-off"], words: ["Stop camera", "Start camera"], without: "Others cannot see you." },
  screen: { button: "#screen", icons: ["screen", "screen"], words: ["Stop sharing", "Share screen"] },
};
const NO_SCREEN = "Your screen is not shared: it was cancelled or refused.";

export class Controls {
  #call;
  #stage;
  #optionsFor;

  // `call` is null where rooms are simulated; `optionsFor` gives the options that a device is to start with.
  constructor(call, stage, optionsFor) {
    this.#call = call;
    this.#stage = stage;
    this.#optionsFor = optionsFor;
    for (const [device, { button }] of Object.entries(DEVICES)) {
      find(button).addEventListener("click", () => this.turn(device, !call?.isSending(device)));
    }
    find("#sound").addEventListener("click", () => call?.startSound());
  }

  // Turns a device on or off; one that does not start leaves its owner in the stream without it.
  async turn(device, on) {
    const button = find(DEVICES[device].button);
    button.disabled = true;
    try {
      await this.#call.send(device, on, device === "screen" ? undefined : this.#optionsFor(device));
      say(device, "");
    } catch (error) {
      say(device, device === "screen" ? NO_SCREEN : `${deviceProblem(device, error)} ${DEVICES[device].without}`, "warn");
    }
    button.disabled = false;
    this.show();
  }

  // `role` and `simulated` are as of the last time where they are not given.
  show({ role = this.role, simulated = this.simulated, tiles = 0 } = {}) {
    Object.assign(this, { role, simulated });
    const isHost = role === "host";
    for (const button of document.querySelectorAll("#live .host")) button.hidden = !isHost || (simulated && button.id !== "stop");
    find("#screen").hidden ||= !navigator.mediaDevices?.getDisplayMedia;
    find("#sound").hidden = !this.#call?.needsTouch;
    find("#view").hidden = tiles < 2;
    this.#showView();
    for (const [device, { button, icons, words }] of Object.entries(DEVICES)) {
      const isOn = Boolean(this.#call?.isSending(device));
      find(button).toggleAttribute("data-on", isOn);
      setIcon(find(button), icons[isOn ? 0 : 1]);
      setText(find(button).querySelector(".label"), words[isOn ? 0 : 1]);
    }
  }

  // Says where the button leads to.
  #showView() {
    const isGrid = this.#stage.view === "grid";
    setIcon(find("#view"), isGrid ? "speaker" : "grid");
    setText(find("#view .label"), isGrid ? "Speaker view" : "Grid view");
  }
}
