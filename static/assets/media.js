// The LiveKit browser library, and the camera and microphone of this browser.

import { make } from "./dom.js";

const LIBRARY = "/vendor/livekit-client.umd.js";
// Where this server has no copy. `scripts/vendor` reads the version and the hash from here.
const FALLBACK = "https://cdn.jsdelivr.net/npm/livekit-client@2.23.0/dist/livekit-client.umd.js";
const FALLBACK_HASH = "sha384-HkA7rQNo8H04l1p4zoXX1Cy+h9YoYp8LvKt4vfMFhv4KFk07UkrNwIUnyBum8Pw6";

const LOAD_WITHIN_MS = 10_000;

function loadScript(attributes) {
  return new Promise((resolve) => {
    const script = make("script", attributes);
    script.onload = () => resolve(window.LivekitClient ?? null);
    script.onerror = () => resolve(null);
    setTimeout(() => resolve(null), LOAD_WITHIN_MS);
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

// Opens a camera and a microphone, or the one of them that can be had. Gives {stream, problems: {camera?, microphone?}}.
export async function openDevices({ camera, microphone }) {
  const open = (constraints) => navigator.mediaDevices.getUserMedia(constraints);
  const problems = {};
  if (!navigator.mediaDevices) {
    if (camera) problems.camera = null;
    if (microphone) problems.microphone = null;
    return { stream: new MediaStream(), problems };
  }
  if (camera && microphone) {
    try {
      // At once, so that the browser asks once.
      return { stream: await open({ video: camera, audio: microphone }), problems };
    } catch (error) {
      // A question that was closed is not asked again.
      if (/dismissed/i.test(error?.message)) return { stream: new MediaStream(), problems: { camera: error, microphone: error } };
    }
  }
  const one = async (device, constraints) => open(constraints).then((stream) => stream.getTracks(), (error) => ((problems[device] = error), []));
  const tracks = [];
  if (camera) tracks.push(...(await one("camera", { video: camera })));
  if (microphone) tracks.push(...(await one("microphone", { audio: microphone })));
  return { stream: new MediaStream(tracks), problems };
}

// How loud a stream is, from 0 to 1, ten times a second; for as long as `listen` is not undone.
export class Level {
  #context = null;
  #timer = null;

  listen(stream, hear) {
    this.stop();
    if (stream.getAudioTracks().length === 0 || !window.AudioContext) return;
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    this.#context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      // A browser may keep it silent until somebody has touched the page.
      if (this.#context.state !== "running") return this.#context.resume().catch(() => {});
      analyser.getFloatTimeDomainData(samples);
      hear(Math.min(1, 3 * Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length)));
    }, 100);
  }

  stop() {
    clearInterval(this.#timer);
    this.#context?.close();
    this.#context = null;
  }
}
