/**
 * Fields that are as high as their text. The browser does it where it knows `field-sizing`; elsewhere we do.
 */

const NATIVE = CSS.supports('field-sizing', 'content');

/** @param {HTMLTextAreaElement} field its largest height is the style sheet's affair */
export function grow(field) {
  if (NATIVE) return;
  const fit = () => {
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
  };
  field.addEventListener('input', fit);
  requestAnimationFrame(fit);
}
