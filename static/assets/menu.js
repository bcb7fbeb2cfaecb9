// A button that opens a menu, as a popover: it closes on Escape, on a click outside of it and after a choice.

import { make, makeIcon } from "./dom.js";

const GAP_PX = 4;
const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

// Returns the menu of a button, which belongs next to it. `itemsOf()` returns the items when the menu opens:
// {name, label, icon, isDangerous, choose}.
export function makeMenu(button, itemsOf) {
  const menu = make("div", { role: "menu", class: "menu", popover: "auto" });
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.popoverTargetElement = menu;
  menu.addEventListener("beforetoggle", ({ newState }) => {
    button.setAttribute("aria-expanded", newState === "open");
    if (newState !== "open") return;
    menu.replaceChildren(...itemsOf().map((item) => makeItem(menu, item)));
    place(menu, button.getBoundingClientRect());
  });
  menu.addEventListener("toggle", ({ newState }) => newState === "open" && menu.firstElementChild?.focus());
  menu.addEventListener("keydown", (event) => moveFocus(event, menu));
  return menu;
}

function makeItem(menu, { name, label, icon, isDangerous, choose }) {
  const attributes = { type: "button", role: "menuitem", "data-action": name, class: isDangerous && "danger" };
  const item = make("button", attributes,
    makeIcon(icon),
    make("span", { class: "label" }, label),
  );
  item.addEventListener("click", () => {
    menu.hidePopover();
    choose();
  });
  return item;
}

// Below the button, or above one in the lower half of the window.
function place({ style }, { top, bottom, right }) {
  const isBelow = bottom < innerHeight / 2;
  style.top = isBelow ? `${bottom + GAP_PX}px` : "auto";
  style.bottom = isBelow ? "auto" : `${innerHeight - top + GAP_PX}px`;
  style.right = `${Math.max(GAP_PX, document.documentElement.clientWidth - right)}px`;
}

function moveFocus(event, menu) {
  if (event.key === "Tab") menu.hidePopover();
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  const items = [...menu.children];
  const current = items.indexOf(document.activeElement);
  const isFar = !Number.isFinite(step);
  const next = isFar ? (step > 0 ? items.length - 1 : 0) : (current + step + items.length) % items.length;
  items[next].focus();
}
