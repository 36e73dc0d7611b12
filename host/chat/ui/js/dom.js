/**
 * Elements without markup: create, update by key, listen.
 *
 * The page has no HTML sink: text becomes text nodes, structure comes from `createElement`. Nothing here parses.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */

/** Properties that are set on the object; everything else becomes an attribute. */
const PROPERTIES = new Set(['value', 'checked', 'disabled', 'hidden', 'open', 'selected', 'htmlFor', 'readOnly']);

/**
 * Makes an element.
 * @param {string} tag a tag name, with classes after dots: `button.icon.quiet`
 * @param {Record<string, any> | null} [props] `onclick`-style listeners (functions only), properties, attributes; null and false are left out
 * @param {...(Child | Child[])} children
 * @returns {any} the element; its type follows from `tag`
 */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split('.');
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(props ?? {})) set(node, key, value);
  append(node, children);
  return node;
}

/**
 * Sets one property, listener or attribute.
 * @param {any} node
 * @param {string} key
 * @param {any} value
 */
export function set(node, key, value) {
  if (key.startsWith('on')) {
    if (typeof value === 'function') node.addEventListener(key.slice(2), value);
  } else if (key === 'class') {
    if (value) node.classList.add(...String(value).split(' ').filter(Boolean));
  } else if (key === 'tabIndex') {
    // Not by the property: it is -1 already where the attribute is missing, and only the attribute makes focusable.
    node.setAttribute('tabindex', String(value));
  } else if (key === 'value' && node.localName === 'option') {
    // Without the attribute, the value of an option is its text: an empty value would have no effect.
    node.setAttribute(key, value);
  } else if (PROPERTIES.has(key)) {
    if (node[key] !== value) node[key] = value;
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(key);
  } else {
    const text = value === true ? '' : String(value);
    if (node.getAttribute(key) !== text) node.setAttribute(key, text);
  }
}

/**
 * Appends children; strings and numbers become text.
 * @param {Node} node
 * @param {Array<Child | Child[]>} children
 */
export function append(node, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.appendChild(typeof child === 'object' ? child : document.createTextNode(String(child)));
  }
}

/**
 * Replaces all children.
 * @param {Element} node
 * @param {...(Child | Child[])} children
 */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

/**
 * Sets text. A node that has this text already is not touched, so a selection in it survives.
 * @param {Element} node
 * @param {string} value
 */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/**
 * Makes the children of `parent` match `items`, in order, reusing the element of each key.
 *
 * Elements are moved only where the order changed, so focus and scroll positions within them survive. Each carries its
 * key as `data-key`.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} key unique among the items
 * @param {(item: T) => Element} make
 * @param {(node: any, item: T) => void} update called for new and for kept elements
 */
export function keyed(parent, items, key, make, update) {
  /** @type {Map<string, Element>} */
  const known = /** @type {any} */ (parent).__keyed ?? new Map();
  /** @type {Map<string, Element>} */
  const now = new Map();
  for (const item of items) {
    const id = key(item);
    const node = known.get(id) ?? make(item);
    /** @type {any} */ (node).dataset.key = id;
    update(node, item);
    now.set(id, node);
  }
  for (const [id, node] of known) if (!now.has(id)) node.remove();
  let place = parent.firstElementChild;
  for (const node of now.values()) {
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  /** @type {any} */ (parent).__keyed = now;
}

/**
 * Listens on `root` for events of elements that match `selector`.
 * @param {Element | Document} root
 * @param {string} type
 * @param {string} selector
 * @param {(event: any, target: any) => void} handler
 */
export function delegate(root, type, selector, handler) {
  root.addEventListener(type, (event) => {
    const target = /** @type {Element} */ (event.target).closest?.(selector);
    if (target && root.contains(target)) handler(event, target);
  });
}

const SVG = 'http://www.w3.org/2000/svg';

/** Line drawings in a box of 24, drawn with round ends. */
const ICONS = {
  plus: 'M12 5v14M5 12h14',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M7 7h10v10H7z',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  check: 'M5 13l4 4L19 7',
  retry: 'M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  more: 'M5.6 12a.6.6 0 1 1-1.2 0 .6.6 0 0 1 1.2 0zM12.6 12a.6.6 0 1 1-1.2 0 .6.6 0 0 1 1.2 0zM19.6 12a.6.6 0 1 1-1.2 0 .6.6 0 0 1 1.2 0z',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6L6 18',
  down: 'M12 5v14M6 13l6 6 6-6',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  chevron: 'M7 10l5 5 5-5',
  play: 'M8 5l11 7-11 7z',
  pin: 'M9 4h6l-1 6 3 3H7l3-3zM12 13v7',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13',
  save: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  gear: 'M4 8h10M18 8h2M4 16h2M10 16h10M16 6v4M8 14v4',
  alert: 'M12 4L2.5 20h19zM12 10v4M12 17h.01',
  wrap: 'M4 6h16M4 12h13a3 3 0 0 1 0 6h-5M14 15l-3 3 3 3M4 18h3',
  chat: 'M5 5h14v11H10l-5 4z',
  link: 'M10 14l10-10M14 4h6v6M18 14v5H5V6h5',
};

/**
 * A drawing that takes the colour and size of the text around it. Hidden from assistive technology: the control names itself.
 * @param {keyof typeof ICONS} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [key, value] of Object.entries({ viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}
