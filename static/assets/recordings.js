// The recordings of a stream, and the button that starts and stops one of the whole room.

import { request } from "./api.js";
import { find, make, runOnce, setText, setTime } from "./dom.js";
import { showElapsed } from "./elapsed.js";
import { formatDateTime } from "./format.js";
import { isOver, isRunning, Jobs } from "./jobs.js";
import { PanelSection } from "./panel-section.js";
import { describeSource, describeState } from "./recording-text.js";

// Results come after the end of the stream too, without events.
const POLL_MS = 5_000;

const button = find("#record");

const isOfRoom = ({ identity, trackSid }) => !identity && !trackSid;
const byNewest = (a, b) => b.createdAt.localeCompare(a.createdAt);

export class Recordings {
  #section = new PanelSection("#recordings");
  #isFollowing = false;
  jobs;

  // `onChange()` is called after each change of the list.
  constructor(stream, onChange) {
    this.jobs = new Jobs(stream, "recordings", onChange);
    button.addEventListener("click", () => runOnce(button, () => this.#toggle()));
  }

  load() {
    return this.#section.attempt(() => this.jobs.loadOnce());
  }

  // Returns the recordings that the button stops.
  get #running() {
    return this.jobs.all.filter((job) => isRunning(job) && isOfRoom(job));
  }

  // Loads the recordings until all have ended, or a load fails.
  async follow() {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    const load = () => this.jobs.load().then(() => !this.jobs.all.every(isOver), ({ isTransient }) => isTransient);
    while (await load()) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }

  draw() {
    const isRecording = this.#running.length > 0;
    button.classList.toggle("danger", isRecording);
    setText(button, isRecording ? "Stop recording" : "Start recording");
    this.#section.show(this.jobs.all.sort(byNewest), {
      keyOf: (recording) => this.jobs.idOf(recording),
      makeRow: (recording) => this.#makeRow(recording),
      fillRow,
    });
  }

  #toggle() {
    const running = this.#running;
    if (running.length > 0) return this.#stop(running);
    return this.#section.attempt(async () => {
      await request("POST", this.jobs.path, {});
      await this.jobs.load();
    });
  }

  #stop(recordings) {
    return this.#section.attempt(async () => {
      await Promise.all(recordings.map((recording) => request("DELETE", this.jobs.pathOf(recording))));
      await this.jobs.load();
    });
  }

  #makeRow(recording) {
    const stop = make("button", { type: "button", class: "stop" }, "Stop",
      make("span", { class: "visually-hidden" }, ` recording of ${formatDateTime(recording.createdAt)}`));
    stop.addEventListener("click", () => runOnce(stop, () => this.#stop([recording])));
    return make("li", {},
      make("div", { class: "job" },
        make("div", {},
          make("p", { class: "name" }, make("time", { class: "start" }), make("span", { class: "source" })),
          make("p", { class: "hint" }, make("span", { class: "state" }), " ", make("time", { class: "elapsed" })),
        ),
        stop,
      ),
      make("p", { class: "files" }),
      make("p", { class: "error" }),
    );
  }
}

function fillRow(row, recording) {
  const { status, error, createdAt, startedAt, files = [] } = recording;
  const source = describeSource(recording);
  row.dataset.status = status;
  setTime(row.querySelector(".start"), startedAt ?? createdAt, formatDateTime(startedAt ?? createdAt));
  setText(row.querySelector(".source"), source ? ` · ${source}` : "");
  setText(row.querySelector(".state"), describeState(recording));
  showElapsed(row.querySelector(".elapsed"), status === "active" ? startedAt : null);
  row.querySelector(".stop").hidden = isOfRoom(recording) || !isRunning(recording);
  showFiles(row.querySelector(".files"), files);
  setText(row.querySelector(".error"), error ?? "");
}

// Links are made anew only if they change, so that they keep the focus.
function showFiles(target, files) {
  const described = JSON.stringify(files);
  if (target.dataset.files === described) return;
  target.dataset.files = described;
  target.replaceChildren(...files.map(makeFile));
}

// A location that is no URL of the web is a path on a worker's disk.
function makeFile({ path, location }) {
  const name = path.split("/").at(-1);
  if (!/^https?:/.test(location ?? "")) return make("span", { class: "hint" }, location ?? path);
  return make("a", { class: "button", href: location, target: "_blank", rel: "noopener noreferrer", download: name },
    "Download", make("span", { class: "visually-hidden" }, ` ${name}`));
}
