// The form before joining: name, role, camera and microphone, with a preview.

import { find, make, setIcon, setText } from "./dom.js";
import { deviceErrorMessage, LevelMeter, openDevices } from "./media.js";
import { showNotice } from "./notices.js";

const DEVICES = {
  camera: { kind: "videoinput", icons: { on: "camera", off: "camera-off" }, label: "Camera" },
  microphone: { kind: "audioinput", icons: { on: "mic", off: "mic-off" }, label: "Microphone" },
};
const DEVICE_NAMES = Object.keys(DEVICES);
const STORAGE_KEY = "name";

const deviceSelect = (device) => find(`#${device}-device`);
const deviceSwitch = (device) => find(`#${device}-switch`);

export class Lobby {
  #form = find("#join");
  #video = find("#preview");
  #meter = find("#level");
  #levelMeter = new LevelMeter();
  #stream = null;
  #attempt = 0; // incremented by each start and stop of the preview; devices of an earlier attempt are closed
  #isOn = { camera: true, microphone: true };

  // `onJoin` is called with {name, role}.
  constructor(onJoin) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.#form.elements.name.value.trim();
      if (!name) return showNotice("phase", "Please enter your name.", "error");
      saveName(name);
      onJoin({ name, role: this.#form.elements.role.value });
    });
    this.#form.elements.role.addEventListener("change", () => this.#startPreview());
    for (const device of DEVICE_NAMES) {
      deviceSelect(device).addEventListener("change", () => this.#startPreview());
      deviceSwitch(device).addEventListener("click", () => {
        this.#isOn[device] = !this.#isOn[device];
        this.#startPreview();
      });
    }
  }

  // Fills in the form. `fixed` has the name and role of a join token, which the user cannot change.
  fill({ role, fixed }) {
    const { name, role: roleSelect } = this.#form.elements;
    name.value = fixed?.name ?? loadName();
    name.readOnly = Boolean(fixed);
    roleSelect.value = fixed?.role ?? role;
    roleSelect.disabled = Boolean(fixed);
  }

  // Starts the preview, unless the stream has no video.
  open({ hasVideo }) {
    this.#form.dataset.video = hasVideo;
    this.setBusy(false);
    this.#startPreview();
  }

  close() {
    this.#attempt += 1;
    this.#releaseDevices();
  }

  setBusy(isBusy) {
    this.#form.querySelector("[type=submit]").disabled = isBusy;
  }

  // Capture options for each device; false for a device that is switched off.
  get devices() {
    const options = (device) => this.#isOn[device] && (this.deviceOptions(device) ?? true);
    return Object.fromEntries(DEVICE_NAMES.map((device) => [device, options(device)]));
  }

  // Returns capture options for the selected device, or undefined for the browser's default device.
  deviceOptions(device) {
    const { value } = deviceSelect(device);
    return value ? { deviceId: value } : undefined;
  }

  async #startPreview() {
    this.close();
    const isShown = this.#form.dataset.video === "true" && this.#form.elements.role.value === "host";
    document.body.toggleAttribute("data-preview", isShown);
    for (const device of DEVICE_NAMES) {
      const select = deviceSelect(device);
      select.closest("label").hidden = !isShown || select.options.length === 0;
      this.#showSwitch(device);
      showNotice(device, "");
    }
    if (!isShown) return;
    const attempt = this.#attempt;
    const { stream, errors } = await openDevices(this.devices);
    if (attempt !== this.#attempt) return stream.getTracks().forEach((track) => track.stop());
    this.#showPreview(stream);
    await this.#listDevices();
    if (attempt === this.#attempt) this.#showErrors(errors);
  }

  #showPreview(stream) {
    this.#stream = stream;
    this.#video.srcObject = stream;
    this.#video.hidden = stream.getVideoTracks().length === 0;
    setText(find("#preview-message"), this.#isOn.camera ? "No picture from your camera" : "Your camera is off");
    this.#levelMeter.start(stream, (level) => (this.#meter.value = level));
  }

  #showErrors(errors) {
    for (const [device, error] of Object.entries(errors)) {
      this.#showSwitch(device, true);
      showNotice(device, `${deviceErrorMessage(device, error)} You can join without.`, "warn");
    }
  }

  #releaseDevices() {
    this.#levelMeter.stop();
    this.#meter.value = 0;
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#video.srcObject = null;
  }

  async #listDevices() {
    const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    for (const device of DEVICE_NAMES) {
      const select = deviceSelect(device);
      // Browsers omit the ids of devices until the user has granted access.
      const listed = devices.filter(({ kind, deviceId }) => kind === DEVICES[device].kind && deviceId);
      const selected = select.value;
      select.replaceChildren(...listed.map(({ deviceId, label }) => make("option", { value: deviceId }, label)));
      if (listed.some(({ deviceId }) => deviceId === selected)) select.value = selected;
      select.closest("label").hidden = listed.length === 0;
    }
  }

  #showSwitch(device, hasFailed = false) {
    const isOn = this.#isOn[device] && !hasFailed;
    const { icons, label } = DEVICES[device];
    const button = deviceSwitch(device);
    button.toggleAttribute("data-on", isOn);
    setIcon(button, isOn ? icons.on : icons.off);
    setText(button.querySelector(".label"), hasFailed ? `No ${device}` : `${label} ${isOn ? "on" : "off"}`);
  }
}

function saveName(name) {
  try {
    localStorage.setItem(STORAGE_KEY, name);
  } catch {
    // The browser forbids storage: the user enters the name again next time.
  }
}

function loadName() {
  try {
    return localStorage.getItem(STORAGE_KEY) ?? "";
  } catch {
    return "";
  }
}
