// The ingresses, recordings or broadcasts of a stream: loaded once, then updated by its events.

import { request } from "./api.js";

const KINDS = {
  ingresses: { event: "ingress_updated", field: "ingress", id: "ingressId" },
  recordings: { event: "recording_updated", field: "recording", id: "recordingId" },
  broadcasts: { event: "broadcast_updated", field: "broadcast", id: "broadcastId" },
};
const RUNNING = ["starting", "active"];
const OVER = ["complete", "failed", "aborted", "limit_reached"];

// True if a recording or broadcast, or a target of one, can be stopped.
export const isRunning = ({ status }) => RUNNING.includes(status);
// True if a recording or broadcast has ended.
export const isOver = ({ status }) => OVER.includes(status);

export class Jobs {
  #stream;
  #name;
  #kind;
  #onChange;
  #jobs = null; // by id; null until they are loaded
  #load = null; // the promise of the newest load, null before the first one
  #isAsked = false; // `loadQuietly` was called
  #arrived = null; // what events have told since that load began, null without a load in progress

  // `name` is that of the route. `onChange()` is called after each change.
  constructor(stream, name, onChange) {
    this.#stream = stream;
    this.#name = name;
    this.#kind = KINDS[name];
    this.#onChange = onChange;
  }

  get path() {
    return `${this.#stream.path}/${this.#name}`;
  }

  pathOf(job) {
    return `${this.path}/${encodeURIComponent(this.idOf(job))}`;
  }

  idOf(job) {
    return job[this.#kind.id];
  }

  // Returns all jobs, oldest first.
  get all() {
    return [...(this.#jobs?.values() ?? [])];
  }

  // Loads the jobs, unless they are loaded or being loaded. Throws an ApiError.
  loadOnce() {
    return this.#load ?? this.load();
  }

  // As `loadOnce`, for callers that can do without the jobs. Does not try again after a failure.
  loadQuietly() {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.loadOnce().catch(() => {});
  }

  // Loads the jobs. Throws an ApiError.
  load() {
    this.#arrived = [];
    const load = (this.#load = this.#fetch(() => load === this.#load));
    return load;
  }

  // Events that arrive meanwhile may be newer than the response, so they are applied to it. A later load or `forget`
  // makes this one outdated.
  async #fetch(isNewest) {
    try {
      const { body } = await request("GET", this.path);
      if (!isNewest()) return;
      this.#jobs = new Map(body.map((job) => [this.idOf(job), job]));
      this.#arrived.forEach((job) => this.#apply(job));
      this.#arrived = null;
      this.#onChange();
    } catch (error) {
      if (isNewest()) this.#load = this.#arrived = null;
      throw error;
    }
  }

  // Forgets the jobs, because events were missed.
  forget() {
    this.#isAsked = false;
    this.#jobs = this.#load = this.#arrived = null;
  }

  // Reads an event that has changed the stream.
  update({ type, data }) {
    if (type !== this.#kind.event) return;
    const job = data[this.#kind.field];
    this.#arrived?.push(job);
    if (this.#jobs) this.#apply(job);
  }

  #apply(job) {
    if (job.deleted) this.#jobs.delete(this.idOf(job));
    else this.#jobs.set(this.idOf(job), job);
  }
}
