// The LiveKit browser library, and this browser's camera and microphone.

import { loadLibrary as loadVendorLibrary } from "./vendor.js";

const LIBRARY_URL = "/vendor/livekit-client.umd.js";
// Used if this server has no copy. `scripts/vendor` reads the version and the hash from these lines.
const CDN_URL = "https://cdn.jsdelivr.net/npm/livekit-client@2.23.0/dist/livekit-client.umd.js";
const CDN_HASH = "sha384-HkA7rQNo8H04l1p4zoXX1Cy+h9YoYp8LvKt4vfMFhv4KFk07UkrNwIUnyBum8Pw6";

const LEVEL_INTERVAL_MS = 100;
// Scales the RMS of normal speech to about the middle of the meter.
const LEVEL_GAIN = 3;

// Returns LiveKit's library, or null if no copy loads.
export const loadLibrary = () => loadVendorLibrary("LivekitClient", LIBRARY_URL, CDN_URL, CDN_HASH);

// Returns the text for an error of getUserMedia.
export function deviceErrorMessage(device, error) {
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

const getUserMedia = (constraints) => navigator.mediaDevices.getUserMedia(constraints);

// Opens the camera and the microphone, or the one of them that starts. The arguments are constraints, or false for a
// device that stays off. Returns {stream, errors: {camera?, microphone?}}.
export async function openDevices({ camera, microphone }) {
  if (!navigator.mediaDevices) {
    const errors = { ...(camera && { camera: null }), ...(microphone && { microphone: null }) };
    return { stream: new MediaStream(), errors };
  }
  if (camera && microphone) {
    try {
      // One request for both devices, so that the browser shows one permission prompt.
      return { stream: await getUserMedia({ video: camera, audio: microphone }), errors: {} };
    } catch (error) {
      // Chromium's message if the user closed the prompt. A second prompt would open at once.
      const isDismissed = /dismissed/i.test(error?.message);
      if (isDismissed) return { stream: new MediaStream(), errors: { camera: error, microphone: error } };
    }
  }
  return openEach({ camera, microphone });
}

async function openEach({ camera, microphone }) {
  const errors = {};
  const tracks = [];
  const open = async (device, constraints) => {
    try {
      tracks.push(...(await getUserMedia(constraints)).getTracks());
    } catch (error) {
      errors[device] = error;
    }
  };
  if (camera) await open("camera", { video: camera });
  if (microphone) await open("microphone", { audio: microphone });
  return { stream: new MediaStream(tracks), errors };
}

// Measures the audio level of a media stream.
export class LevelMeter {
  #context = null;
  #timer = null;

  // Calls `onLevel` ten times a second with a level from 0 to 1, until `stop`.
  start(stream, onLevel) {
    this.stop();
    if (stream.getAudioTracks().length === 0 || !window.AudioContext) return;
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    this.#context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      // Browsers suspend a context that was created before the first user gesture.
      if (this.#context.state !== "running") return this.#context.resume().catch(() => {});
      analyser.getFloatTimeDomainData(samples);
      onLevel(Math.min(1, LEVEL_GAIN * rms(samples)));
    }, LEVEL_INTERVAL_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#context?.close();
    this.#context = null;
  }
}

const rms = (samples) => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
