/**
 * Keys that work everywhere on the page.
 */

/**
 * @param {object} page
 * @param {() => Array<{area: Element, target: HTMLElement}>} page.areas in the order of F6: list, transcript, composer
 * @param {(step: 1 | -1) => void} page.step from message to message
 * @param {() => boolean} page.escape does what Escape means here; whether there was anything
 * @param {() => void} page.search
 */
export function listen({ areas, step, escape, search }) {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing || event.keyCode === 229) return;
    // What lies above the page has its own keys; above all, Escape closes that and nothing below it.
    if (document.querySelector('dialog[open], :popover-open')) return;
    const modified = event.ctrlKey || event.metaKey;
    if (event.key === 'F6') cycle(areas(), event.shiftKey ? -1 : 1);
    else if (modified && event.key.toLowerCase() === 'k') search();
    else if (event.altKey && !modified && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) step(event.key === 'ArrowDown' ? 1 : -1);
    else if (!modified && !event.altKey && !isField(event.target) && /^[jk]$/i.test(event.key))
      step(event.key.toLowerCase() === 'j' ? 1 : -1);
    else if (event.key !== 'Escape' || !escape()) return;
    event.preventDefault();
  });
}

/** @param {Array<{area: Element, target: HTMLElement}>} areas @param {1 | -1} step */
function cycle(areas, step) {
  const at = areas.findIndex(({ area }) => area.contains(document.activeElement));
  areas[(Math.max(at, step > 0 ? -1 : 0) + step + areas.length) % areas.length].target.focus();
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName));
}
