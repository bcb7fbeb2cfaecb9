// The LiveKit browser library, and the camera and microphone of this browser.

import { make } from "./common.js";

const LIBRARY = "/vendor/livekit-client.umd.js";
// Where this server has no copy. `scripts/vendor` reads the version and the hash from here.
const FALLBACK = "https://cdn.jsdelivr.net/npm/livekit-client@2.23.0/dist/livekit-client.umd.js";
const FALLBACK_HASH = "sha384-HkA7rQNo8H04l1p4zoXX1Cy+h9YoYp8LvKt4vfMFhv4KFk07UkrNwIUnyBum8Pw6";

function loadScript(attributes) {
  return new Promise((resolve) => {
    const script = make("script", attributes);
    script.onload = () => resolve(window.LivekitClient ?? null);
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
}

// The library, or null where neither copy loads.
export async function loadLibrary() {
  const fallback = { src: FALLBACK, integrity: FALLBACK_HASH, crossorigin: "anonymous" };
  return (await loadScript({ src: LIBRARY })) ?? (await loadScript(fallback));
}

// Why a device did not start, in words that help.
export function deviceProblem(device, error) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return `Your ${device} was refused. Allow it in the browser’s address bar to use it.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No ${device} was found.`;
    case "NotReadableError":
    case "AbortError":
      return `Your ${device} is in use by another program.`;
    default:
      return window.isSecureContext
        ? `Your ${device} could not be started.`
        : `Your ${device} cannot be used: browsers allow it on https and localhost only.`;
  }
}

// The picture of oneself before joining, and the choice of devices.
export class Preview {
  #stream = null;
  #wanted = false;
  #video;
  #selects;

  constructor(video, selects) {
    this.#video = video;
    this.#selects = selects;
    for (const select of Object.values(selects)) select.addEventListener("change", () => this.start());
  }

  get devices() {
    const chosen = (select) => (select.value ? { deviceId: select.value } : undefined);
    return { camera: chosen(this.#selects.camera), microphone: chosen(this.#selects.microphone) };
  }

  // Shows the camera; says what is wrong where it cannot.
  async start() {
    this.#wanted = true;
    this.#release();
    const { camera, microphone } = this.devices;
    try {
      const stream = await this.#open({ video: camera ?? true, audio: microphone ?? true });
      if (!this.#wanted) return stream.getTracks().forEach((track) => track.stop());
      this.#release();
      this.#stream = stream;
      this.#video.srcObject = stream;
      await this.#listDevices();
      return stream.getVideoTracks().length > 0 ? null : deviceProblem("camera", { name: "NotFoundError" });
    } catch (error) {
      return deviceProblem("camera or microphone", error);
    }
  }

  stop() {
    this.#wanted = false;
    this.#release();
  }

  // Both devices, or the one that there is.
  async #open(both) {
    try {
      return await navigator.mediaDevices.getUserMedia(both);
    } catch (error) {
      if (error?.name !== "NotFoundError") throw error;
      const { video, audio } = both;
      const one = (constraints) => navigator.mediaDevices.getUserMedia(constraints);
      return one({ video }).catch(() => one({ audio }));
    }
  }

  #release() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#video.srcObject = null;
  }

  async #listDevices() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const fill = (select, kind) => {
      const options = devices.filter((device) => device.kind === kind && device.deviceId);
      const chosen = select.value;
      select.replaceChildren(...options.map((device) => make("option", { value: device.deviceId }, device.label)));
      if (options.some((device) => device.deviceId === chosen)) select.value = chosen;
      select.closest("label").hidden = options.length === 0;
    };
    fill(this.#selects.camera, "videoinput");
    fill(this.#selects.microphone, "audioinput");
  }
}
