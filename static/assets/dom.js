// Helpers for elements and dialogs.

export const find = (selector) => document.querySelector(selector);

// Creates an element with attributes and children. Strings become text nodes, never markup.
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const iconUrl = (name) => `/assets/icons.svg#${name}`;

export function makeIcon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  const use = document.createElementNS(namespace, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", iconUrl(name));
  svg.append(use);
  return svg;
}

export function setIcon(button, name) {
  const use = button.querySelector("use");
  const href = iconUrl(name);
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

export const makeButton = (iconName, label, attributes = {}) =>
  make("button", { type: "button", ...attributes }, makeIcon(iconName), make("span", { class: "label" }, label));

// Sets text only if it differs, because each write is announced by screen readers and restarts transitions.
export function setText(target, text) {
  if (target.textContent !== String(text)) target.textContent = text;
}

// Sets the text of a <time>, and its machine-readable timestamp.
export function setTime(target, timestamp, text) {
  target.dateTime = timestamp;
  setText(target, text);
}

// Arranges the rows of a list, and removes others. Moves as few rows as it can, because a move closes the row's menu in
// browsers without `moveBefore`. A focused element of a moved row keeps the focus.
export function arrangeRows(list, rows) {
  const focused = document.activeElement;
  const kept = new Set(rows);
  for (const row of [...list.children]) kept.has(row) || row.remove();
  rows.forEach((row, index) => {
    const present = list.children[index];
    // The row in this place moves down, instead of all rows between its old place and its new one.
    if (present !== row && list.children[index + 1] === row) insertRow(list, present, rows[rows.indexOf(present) + 1]);
    if (list.children[index] !== row) insertRow(list, row, list.children[index]);
  });
  if (list.contains(focused)) focused.focus({ preventScroll: true });
}

// Inserts a row before another one, or at the end if the list does not have that one.
function insertRow(list, row, next) {
  const before = next?.parentElement === list ? next : null;
  if (list.moveBefore && row.parentElement === list) list.moveBefore(row, before);
  else list.insertBefore(row, before);
}

// Runs the action of a button, whose clicks have no effect until it ends. `disabled` would take the focus away.
export async function runOnce(button, action) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try {
    await action();
  } finally {
    button.ariaDisabled = null;
  }
}

// Shows a modal dialog. Resolves to true if its button with the value "yes" closed it.
export function openDialog(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

// Shows a confirmation dialog before an action that cannot be undone. Resolves to true if the user confirms.
export function confirmAction(question, consequence, verb) {
  return openDialog(
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

// Copies a link and shows "Copied" on the button for two seconds. Without clipboard access, a prompt shows the link.
export async function copyLink(button, link) {
  const label = button.querySelector(".label");
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    window.prompt("Copy this link:", link);
    return;
  }
  const text = label.dataset.text ?? (label.dataset.text = label.textContent);
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = text), 2_000);
}
