// Elements and dialogs.

export const find = (selector) => document.querySelector(selector);

// An element with attributes and children. Strings become text, never markup.
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/assets/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export function setIcon(button, name) {
  const use = button.querySelector("use");
  const href = `/assets/icons.svg#${name}`;
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

export const button = (name, label, attributes = {}) =>
  make("button", { type: "button", ...attributes }, icon(name), make("span", { class: "label" }, label));

// Sets text only where it differs, so that screen readers and transitions are left alone.
export function setText(target, text) {
  if (target.textContent !== String(text)) target.textContent = text;
}

// Sets a date's text, and the moment itself for machines.
export function setTime(target, timestamp, text) {
  target.dateTime = timestamp;
  setText(target, text);
}

// Shows a dialog until it is closed. Gives true where it was closed by its own submit button.
export function ask(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

// Asks before something that cannot be taken back.
export function confirmed(question, consequence, verb) {
  return ask(
    make("dialog", { "aria-labelledby": "question", "aria-describedby": "consequence" },
      make("form", { method: "dialog" },
        make("h2", { id: "question" }, question),
        make("p", { id: "consequence" }, consequence),
        make("div", { class: "actions end" },
          make("button", { value: "no", autofocus: true }, "Cancel"),
          make("button", { value: "yes", class: "danger" }, verb),
        ),
      ),
    ),
  );
}

// Copies a link and says so on the button.
export async function copyLink(from, link) {
  const label = from.querySelector(".label");
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    window.prompt("Copy this link:", link);
    return;
  }
  const before = label.dataset.text ?? (label.dataset.text = label.textContent);
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = before), 2_000);
}
