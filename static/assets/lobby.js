// Before joining: a name, a role, and how one will look and sound.

import { find, make, setIcon, setText } from "./dom.js";
import { deviceProblem, Level, openDevices } from "./media.js";
import { say } from "./notices.js";

const DEVICES = ["camera", "microphone"];
const KINDS = { camera: "videoinput", microphone: "audioinput" };
const PICTURES = { camera: ["camera", "camera-off"], microphone: ["mic", "mic-off"] };
const WORDS = { camera: "Camera", microphone: "Microphone" };

export class Lobby {
  #form = find("#join");
  #video = find("#preview");
  #meter = find("#level");
  #level = new Level();
  #stream = null;
  #attempt = 0; // a preview that was asked for earlier is thrown away when it comes
  #on = { camera: true, microphone: true };

  // `join` is called with {name, role}.
  constructor(join) {
    this.#form.addEventListener("submit", (submit) => {
      submit.preventDefault();
      const name = this.#form.elements.name.value.trim();
      if (!name) return say("phase", "Please enter your name.", "error");
      remember(name);
      join({ name, role: this.#form.elements.role.value });
    });
    this.#form.elements.role.addEventListener("change", () => this.#preview());
    for (const device of DEVICES) {
      this.#select(device).addEventListener("change", () => this.#preview());
      this.#switch(device).addEventListener("click", () => {
        this.#on[device] = !this.#on[device];
        this.#preview();
      });
    }
  }

  // Who comes in: `fixed` where a token has decided that already.
  introduce({ role, fixed }) {
    const { name, role: roles } = this.#form.elements;
    name.value = fixed?.name ?? recall();
    name.readOnly = Boolean(fixed);
    roles.value = fixed?.role ?? role;
    roles.disabled = Boolean(fixed);
  }

  // With a preview, unless there is no video to look forward to.
  open({ hasVideo }) {
    this.#form.dataset.video = hasVideo;
    this.busy(false);
    this.#preview();
  }

  close() {
    this.#attempt += 1;
    this.#release();
  }

  busy(isBusy) {
    this.#form.querySelector("[type=submit]").disabled = isBusy;
  }

  // What to publish with, by device; false for what is to stay off.
  get devices() {
    return Object.fromEntries(DEVICES.map((device) => [device, this.#on[device] && (this.#chosen(device) ?? true)]));
  }

  // The options to turn a device on with.
  options(device) {
    return this.#chosen(device);
  }

  async #preview() {
    this.close();
    const wanted = this.#form.dataset.video === "true" && this.#form.elements.role.value === "host";
    document.body.toggleAttribute("data-preview", wanted);
    for (const device of DEVICES) {
      this.#select(device).closest("label").hidden = !wanted || this.#select(device).options.length === 0;
      this.#showSwitch(device);
      say(device, "");
    }
    if (!wanted) return;
    const attempt = this.#attempt;
    const { stream, problems } = await openDevices(this.devices);
    if (attempt !== this.#attempt) return stream.getTracks().forEach((track) => track.stop());
    this.#stream = stream;
    this.#video.srcObject = stream;
    this.#video.hidden = stream.getVideoTracks().length === 0;
    setText(find("#preview-words"), this.#on.camera ? "No picture from your camera" : "Your camera is off");
    this.#level.listen(stream, (level) => (this.#meter.value = level));
    await this.#listDevices();
    if (attempt !== this.#attempt) return;
    for (const [device, error] of Object.entries(problems)) {
      this.#showSwitch(device, true);
      say(device, `${deviceProblem(device, error)} You can join without.`, "warn");
    }
  }

  #release() {
    this.#level.stop();
    this.#meter.value = 0;
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#video.srcObject = null;
  }

  async #listDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    for (const device of DEVICES) {
      const select = this.#select(device);
      // Without permission they have no ids.
      const options = devices.filter((one) => one.kind === KINDS[device] && one.deviceId);
      const before = select.value;
      select.replaceChildren(...options.map((one) => make("option", { value: one.deviceId }, one.label)));
      if (options.some((one) => one.deviceId === before)) select.value = before;
      select.closest("label").hidden = options.length === 0;
    }
  }

  #showSwitch(device, isMissing = false) {
    const isOn = this.#on[device] && !isMissing;
    this.#switch(device).toggleAttribute("data-on", isOn);
    setIcon(this.#switch(device), PICTURES[device][isOn ? 0 : 1]);
    setText(this.#switch(device).querySelector(".label"), isMissing ? `No ${device}` : `${WORDS[device]} ${isOn ? "on" : "off"}`);
  }

  #chosen(device) {
    const { value } = this.#select(device);
    return value ? { deviceId: value } : undefined;
  }

  #select = (device) => find(`#${device}-device`);
  #switch = (device) => find(`#${device}-switch`);
}

function remember(name) {
  try {
    localStorage.setItem("name", name);
  } catch {
    // Storage is switched off: the name is asked for again next time.
  }
}

function recall() {
  try {
    return localStorage.getItem("name") ?? "";
  } catch {
    return "";
  }
}
