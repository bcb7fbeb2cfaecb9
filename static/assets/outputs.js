// Where the stream is sent on: RTMP targets such as YouTube, and HLS.

import { announce } from "./announcer.js";
import { request } from "./api.js";
import { makeCopyField } from "./copy-field.js";
import { confirmAction, find, make, runOnce, setText } from "./dom.js";
import { isolate } from "./format.js";
import { isOver, isRunning, Jobs } from "./jobs.js";
import { PanelSection } from "./panel-section.js";

const STATES = { starting: "connecting", active: "sending", ending: "ending", failed: "failed" };
// Those that are shown.
const LISTED = Object.keys(STATES);

const form = find("#add-output");
const hlsButton = find("#start-hls");

// Returns the outputs of a broadcast, one for each row.
function outputsOf(broadcast) {
  const { broadcastId, rtmp, hls, status, error } = broadcast;
  const targets = rtmp.map((target) => ({
    ...target,
    broadcast,
    key: `${broadcastId}/${target.id}`,
    name: target.url,
    error: target.error ?? (isOver(broadcast) ? error : null),
  }));
  const playlist = hls && { ...hls, broadcast, key: `${broadcastId}/hls`, name: "HLS", status, error };
  return playlist ? [playlist, ...targets] : targets;
}

export class Outputs {
  #section = new PanelSection("#outputs");
  jobs;

  // `onChange()` is called after each change of the list.
  constructor(stream, onChange) {
    this.jobs = new Jobs(stream, "broadcasts", onChange);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      runOnce(form.querySelector("[type=submit]"), () => this.#add());
    });
    hlsButton.addEventListener("click", () => runOnce(hlsButton, () => this.#start({ hls: {} }, "HLS started.")));
  }

  load() {
    return this.#section.attempt(() => this.jobs.loadOnce());
  }

  // Shows what runs and what has failed.
  draw() {
    const outputs = this.jobs.all.flatMap(outputsOf);
    hlsButton.hidden = outputs.some((output) => output.name === "HLS" && isRunning(output));
    this.#section.show(outputs.filter(({ status }) => LISTED.includes(status)), {
      keyOf: ({ key }) => key,
      makeRow: (output) => this.#makeRow(output),
      fillRow,
    });
  }

  // Adds the target to a broadcast that runs: each one is encoded by a worker of its own.
  async #add() {
    const { server, key } = form.elements;
    const address = [server.value.trim().replace(/\/+$/, ""), key.value.trim()].filter(Boolean).join("/");
    const running = this.jobs.all.find(isRunning);
    const isAdded = running
      ? await this.#change(running, { add: [address] })
      : await this.#start({ rtmp: [address] }, "Target added.");
    if (isAdded) form.reset();
  }

  #start(body, result) {
    return this.#run(() => request("POST", this.jobs.path, body), result);
  }

  #change(broadcast, change) {
    const result = change.add ? "Target added." : "Target removed.";
    return this.#run(() => request("PATCH", this.jobs.pathOf(broadcast), change), result);
  }

  // Runs a request, then loads the list. Resolves to true if both succeed.
  #run(send, result) {
    return this.#section.attempt(async () => {
      await send();
      announce(result);
      await this.jobs.load();
      return true;
    });
  }

  // The last output ends its broadcast; so does HLS, which cannot be removed alone.
  async #remove(key) {
    const output = this.jobs.all.flatMap(outputsOf).find((one) => one.key === key);
    const others = outputsOf(output.broadcast).filter((one) => one.key !== key && isRunning(one));
    if (others.length > 0 && output.id) return this.#change(output.broadcast, { remove: [output.id] });
    const consequence = "The other targets of this broadcast end too.";
    if (others.length > 0 && !(await confirmAction("Stop HLS?", consequence, "Stop"))) return null;
    return this.#run(() => request("DELETE", this.jobs.pathOf(output.broadcast)), `${isolate(output.name)} stopped.`);
  }

  #makeRow({ key, name, id, url, livePlaylist }) {
    const verb = id ? "Remove" : "Stop";
    const playlists = id ? [] : [["Live playlist", livePlaylist], ["Full playlist", url]].filter(([, value]) => value);
    const remove = make("button", { type: "button", class: "remove" }, verb,
      make("span", { class: "visually-hidden" }, ` ${isolate(name)}`));
    remove.addEventListener("click", () => runOnce(remove, () => this.#remove(key)));
    return make("li", {},
      make("div", { class: "job" },
        make("div", {}, make("p", { class: "name" }, name), make("p", { class: "hint state" })),
        remove,
      ),
      ...playlists.map(([label, value]) => makeCopyField(label, { owner: name, value })),
      make("p", { class: "error" }),
    );
  }
}

function fillRow(row, output) {
  row.dataset.status = output.status;
  setText(row.querySelector(".state"), STATES[output.status]);
  row.querySelector(".remove").hidden = !isRunning(output) || !isRunning(output.broadcast);
  setText(row.querySelector(".error"), output.error ?? "");
}
