/**
 * A button that opens a short menu.
 */

import { fill, h, icon } from '../dom.js';

/**
 * @typedef {object} Item
 * @property {string} label
 * @property {Parameters<typeof icon>[0]} [icon]
 * @property {() => void} act
 * @property {boolean} [danger]
 */

let counter = 0;

/**
 * Makes the button and its menu.
 * @param {object} options
 * @param {string} options.label
 * @param {Parameters<typeof icon>[0]} [options.icon]
 * @param {() => Item[]} options.items asked each time it opens
 * @param {string} [options.class]
 */
export function menuButton({ label, icon: drawing = 'more', items, class: name }) {
  const id = `menu${++counter}`;
  const menu = h('div.menu', { id, role: 'menu', popover: 'auto', 'aria-label': label });
  const button = h(
    'button.icon-button',
    {
      type: 'button',
      class: name,
      'aria-label': label,
      title: label,
      'aria-haspopup': 'menu',
      'aria-expanded': 'false',
      'aria-controls': id,
    },
    icon(drawing),
  );
  const choose = (/** @type {Item} */ item) => {
    menu.hidePopover();
    item.act();
  };
  const open = () => {
    fill(
      menu,
      items().map((item) =>
        h(
          'button.menu-item',
          { type: 'button', role: 'menuitem', tabIndex: -1, class: item.danger && 'danger', onclick: () => choose(item) },
          item.icon && icon(item.icon),
          h('span', null, item.label),
        ),
      ),
    );
    // Beside its button in the document, above everything on the screen: what scrolls around it does not clip it.
    button.after(menu);
    menu.showPopover();
    position(menu, button);
    /** @type {HTMLElement} */ (menu.firstElementChild).focus();
  };
  button.addEventListener('click', (/** @type {Event} */ event) => {
    event.preventDefault();
    event.stopPropagation();
    if (menu.matches(':popover-open')) menu.hidePopover();
    else open();
  });
  menu.addEventListener('toggle', (/** @type {any} */ event) => {
    const isOpen = event.newState === 'open';
    button.setAttribute('aria-expanded', String(isOpen));
    if (isOpen) return;
    if (menu.contains(document.activeElement) || document.activeElement === document.body) button.focus();
    menu.remove();
  });
  menu.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => keys(event, menu));
  return button;
}

/** @param {KeyboardEvent} event @param {HTMLElement} menu */
function keys(event, menu) {
  const all = /** @type {HTMLElement[]} */ ([...menu.children]);
  const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  /** @type {Record<string, number>} */
  const moves = { ArrowDown: (at + 1) % all.length, ArrowUp: (at - 1 + all.length) % all.length, Home: 0, End: all.length - 1 };
  if (event.key in moves) {
    event.preventDefault();
    all[moves[event.key]].focus();
  } else if (event.key === 'Tab') {
    menu.hidePopover();
  }
}

/** Below the button, its right edges aligned; above it where there is no room. @param {HTMLElement} menu @param {HTMLElement} button */
function position(menu, button) {
  const anchor = button.getBoundingClientRect();
  const own = menu.getBoundingClientRect();
  const below = anchor.bottom + 4 + own.height < innerHeight;
  menu.style.top = `${below ? anchor.bottom + 4 : Math.max(8, anchor.top - own.height - 4)}px`;
  menu.style.left = `${Math.max(8, Math.min(innerWidth - own.width - 8, anchor.right - own.width))}px`;
}
