// Programs that send into the stream, such as OBS: their addresses and keys.

import { announce } from "./announcer.js";
import { request } from "./api.js";
import { makeCopyField } from "./copy-field.js";
import { confirmAction, find, make, runOnce, setText } from "./dom.js";
import { formatTime, isolate } from "./format.js";
import { Jobs } from "./jobs.js";
import { PanelSection } from "./panel-section.js";
import { identityFor } from "./participation.js";

const TYPES = { rtmp: "RTMP", whip: "WHIP", direct: "WHIP to LiveKit", url: "pulled by LiveKit" };
const STATES = {
  inactive: "waiting for the encoder",
  buffering: "connecting",
  publishing: "sending",
  error: "failed",
  complete: "ended",
};
// The names of the fields in OBS.
const SECRETS = { rtmp: "Stream key", whip: "Bearer token", direct: "Bearer token" };
// LiveKit's own WHIP endpoint.
const WHIP_PATH = "/whip/v1";

const form = find("#add-source");
const hints = [...form.querySelectorAll("[data-type]")];

const nameOf = ({ name, identity }) => name || identity;

export class Sources {
  #stream;
  #section = new PanelSection("#sources");
  #tokens = []; // join tokens for LiveKit's own WHIP endpoint, which exist on this page only
  jobs;

  // `onChange()` is called after each change of the list.
  constructor(stream, onChange) {
    this.#stream = stream;
    this.jobs = new Jobs(stream, "ingresses", onChange);
    form.elements.type.addEventListener("change", () => this.#showHint());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      runOnce(form.querySelector("[type=submit]"), () => this.#section.attempt(() => this.#create()));
    });
    this.#showHint();
  }

  load() {
    return this.#section.attempt(() => this.jobs.loadOnce());
  }

  // `isSimulated` is true without a LiveKit server, which has the endpoint for WHIP.
  draw({ isSimulated } = {}) {
    if (isSimulated !== undefined) form.elements.type.querySelector("[value=direct]").hidden = isSimulated;
    this.#section.show([...this.jobs.all, ...this.#tokens], {
      keyOf: ({ ingressId, identity }) => ingressId ?? identity,
      makeRow: (source) => this.#makeRow(source),
      fillRow,
    });
  }

  #showHint() {
    for (const hint of hints) hint.hidden = hint.dataset.type !== form.elements.type.value;
  }

  async #create() {
    const [type, name] = [form.elements.type.value, form.elements.name.value.trim() || "Encoder"];
    const source = { identity: identityFor(name), name };
    if (type === "direct") await this.#createToken(source);
    else await request("POST", this.jobs.path, { type, ...source });
    announce(`Address of ${isolate(name)} created.`);
    await this.jobs.load();
  }

  async #createToken(source) {
    const { body } = await request("POST", `${this.#stream.path}/join`, { ...source, role: "host" });
    const url = body.wsUrl.replace(/^ws/, "http").replace(/\/$/, "") + WHIP_PATH;
    this.#tokens.push({ ...source, type: "direct", url, token: body.token, expiresAt: body.expiresAt });
  }

  #makeRow(source) {
    const { type, url } = source;
    const owner = nameOf(source);
    const remove = make("button", { type: "button", class: "remove" }, type === "direct" ? "Hide" : "Delete",
      make("span", { class: "visually-hidden" }, ` address of ${isolate(owner)}`));
    remove.addEventListener("click", () => runOnce(remove, () => this.#remove(source)));
    const secret = SECRETS[type] && makeCopyField(SECRETS[type], { owner, read: () => this.#read(source) });
    return make("li", {},
      make("div", { class: "job" },
        make("div", {}, make("p", { class: "name" }, owner), make("p", { class: "hint state" })),
        remove,
      ),
      ...[url && makeCopyField("Server", { owner, value: url }), secret].filter(Boolean),
      make("p", { class: "error" }),
    );
  }

  // Returns the key or token of a source; null after a failure.
  #read(source) {
    if (source.token) return source.token;
    return this.#section.attempt(async () => (await request("GET", this.jobs.pathOf(source))).body.streamKey ?? null);
  }

  async #remove(source) {
    if (source.token) this.#tokens = this.#tokens.filter((other) => other !== source);
    else if (!(await this.#delete(source))) return;
    this.draw();
  }

  async #delete(source) {
    const question = `Delete the address of ${isolate(nameOf(source))}?`;
    const consequence = "Its encoder is disconnected, and the key does not work any more.";
    if (!(await confirmAction(question, consequence, "Delete"))) return false;
    return this.#section.attempt(async () => {
      await request("DELETE", this.jobs.pathOf(source));
      await this.jobs.load();
      return true;
    });
  }
}

function fillRow(row, { type, status, error, expiresAt }) {
  const state = expiresAt ? `use it until ${formatTime(expiresAt)}` : (STATES[status] ?? status);
  row.dataset.status = status ?? "";
  setText(row.querySelector(".state"), `${TYPES[type] ?? type} · ${state}`);
  setText(row.querySelector(".error"), error ?? "");
}
