/**
 * Brings what is shown in line with what it should be, and touches nothing else.
 *
 * While text streams in, its last paragraph is made anew many times a second. Put in place of the one before, each of them
 * would take a selection in it away; so only the differences are applied, and text grows at its end.
 */

/**
 * Makes `old` like `fresh`; takes parts of `fresh` for it.
 * @param {any} old in the document
 * @param {any} fresh
 */
export function patch(old, fresh) {
  const { __code: code } = old;
  if (old.nodeName !== fresh.nodeName || Boolean(code) !== Boolean(fresh.__code) || (code && !code.takes(fresh.__code))) {
    old.replaceWith(fresh);
  } else if (!code && old.nodeType === Node.TEXT_NODE) {
    grow(old, fresh.data);
  } else if (!code) {
    attributes(old, fresh);
    children(old, fresh);
  }
}

/** @param {any} old @param {any} fresh */
function children(old, fresh) {
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const next = at?.nextSibling ?? null;
    if (at) patch(at, child);
    else old.appendChild(child);
    at = next;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Changes a text from where it differs: a selection before that stays. @param {Text} node @param {string} text */
function grow(node, text) {
  const before = node.data;
  // The common case, and a fast one however long the text is.
  if (text.startsWith(before)) {
    if (text.length > before.length) node.appendData(text.slice(before.length));
    return;
  }
  let same = 0;
  while (same < before.length && before[same] === text[same]) same++;
  node.replaceData(same, before.length - same, text.slice(same));
}

/** @param {Element} old @param {Element} fresh */
function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (fresh instanceof HTMLInputElement) /** @type {HTMLInputElement} */ (old).checked = fresh.checked;
}
