// Fields with a value to copy into another program. The value of a secret is shown on request only.

import { announce } from "./announcer.js";
import { make, runOnce, setText } from "./dom.js";
import { isolate } from "./format.js";

const COPIED_MS = 2_000;

// Returns a field. `label` is its name, `owner` what it belongs to; together they name its buttons for screen readers.
// A secret is not in the page until it is shown: `read()` resolves to it, or to null after a failure.
export function makeCopyField(label, { owner, value, read }) {
  const placeholder = read && "Hidden";
  const input = make("input", { readonly: true, spellcheck: "false", autocomplete: "off", placeholder });
  input.value = value ?? "";
  const name = `${label} of ${isolate(owner)}`;
  const copy = makeFieldButton("Copy", name);
  copy.addEventListener("click", () =>
    runOnce(copy, async () => copyValue(copy, input, label, read && !input.value ? await read() : input.value)));
  const show = read && makeFieldButton("Show", name);
  show?.addEventListener("click", () => runOnce(show, () => toggleSecret(input, read)));
  return make("div", { class: "copy-field" },
    make("label", {}, label, make("span", { class: "visually-hidden" }, ` of ${isolate(owner)}`), input),
    ...[show, copy].filter(Boolean),
  );
}

const makeFieldButton = (verb, name) =>
  make("button", { type: "button", "data-verb": verb.toLowerCase() },
    make("span", { class: "label" }, verb),
    make("span", { class: "visually-hidden" }, ` ${name}`),
  );

async function toggleSecret(input, read) {
  const secret = input.value ? "" : await read();
  if (secret !== null) reveal(input, secret);
}

// Shows a value; the empty text hides a secret.
function reveal(input, value) {
  input.value = value;
  const verb = input.closest(".copy-field").querySelector("[data-verb=show] .label");
  if (verb) setText(verb, value ? "Hide" : "Show");
}

// Without access to the clipboard, the value is shown and selected.
async function copyValue(button, input, label, value) {
  if (value === null) return;
  const verb = button.querySelector(".label");
  try {
    await navigator.clipboard.writeText(value);
    announce(`${label} copied.`);
    setText(verb, "Copied");
  } catch {
    reveal(input, value);
    input.select();
    announce(`${label}: press Ctrl+C to copy.`);
    setText(verb, "Ctrl+C");
  }
  setTimeout(() => setText(verb, "Copy"), COPIED_MS);
}
