/**
 * Who moves the transcript: the reader, or new text.
 *
 * One owner for all scrolling. The view is either pinned to its end, and follows what is written, or it stays where the
 * reader put it. Every scroll of ours is recorded by the position it leads to; a scroll event that does not match is the
 * reader's, and the first one upward unpins.
 */

/** A movement by the reader smaller than this is rounding, or a trackpad at rest. */
const SLACK_PX = 3;
/** How close counts as the end. At most zoom levels fractions of a pixel remain. */
const END_PX = 2;

/** Makes the decisions; does not touch the document. */
export class ScrollPin {
  constructor() {
    this.pinned = true;
    /** The target of our last scroll, until its event has arrived. @type {number | null} */
    this.expected = null;
    this.last = 0;
    /** The end at the last event: a view that shrinks is moved by the browser, not by the reader. */
    this.lastMax = 0;
  }

  /** We are about to scroll to `top`. @param {number} top */
  moving(top) {
    this.expected = top;
  }

  /**
   * A scroll event came.
   * @param {number} top clamped to 0..max: iOS reports positions beyond both ends while its rubber band is stretched
   * @param {number} max the largest possible `top`
   */
  scrolled(top, max) {
    const ours = this.expected !== null && Math.abs(top - this.expected) <= END_PX;
    const clamped = max < this.lastMax && top >= max - END_PX;
    if (ours) this.expected = null;
    else if (!clamped) {
      this.expected = null;
      if (top < this.last - SLACK_PX) this.pinned = false;
      else if (top >= max - END_PX && top > this.last) this.pinned = true;
    }
    this.last = top;
    this.lastMax = max;
  }

  /** The reader does something that means "up": wheel, drag, a key. It counts before the view has moved. */
  up() {
    this.pinned = false;
    this.expected = null;
  }

  /** The reader asked for the end. */
  pin() {
    this.pinned = true;
  }
}

/** Scrolls an element by the decisions of a {@link ScrollPin}. */
export class ScrollOwner {
  /**
   * @param {HTMLElement} box what scrolls
   * @param {HTMLElement} content what grows in it
   * @param {(pinned: boolean) => void} onpin called when following begins or ends
   */
  constructor(box, content, onpin) {
    this.box = box;
    this.content = content;
    this.pin = new ScrollPin();
    this.onpin = onpin;
    this.touchY = 0;
    box.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    box.addEventListener('wheel', (event) => event.deltaY < 0 && this.unpin(), { passive: true });
    box.addEventListener('touchstart', (event) => (this.touchY = event.touches[0].clientY), { passive: true });
    box.addEventListener('touchmove', (event) => event.touches[0].clientY > this.touchY + SLACK_PX && this.unpin(), { passive: true });
    box.addEventListener('keydown', (event) => ['PageUp', 'Home', 'ArrowUp'].includes(event.key) && this.unpin());
    this.observer = new ResizeObserver(() => this.follow());
    this.observer.observe(content);
    this.observer.observe(box);
    this.#show();
  }

  get max() {
    return Math.max(0, this.box.scrollHeight - this.box.clientHeight);
  }

  /** Moves to the end if the view is pinned. Never smooth: text arrives faster than an animation ends. */
  follow() {
    // If everything is on the screen, there is no end to go back to.
    if (!this.pin.pinned && this.max <= END_PX) {
      this.pin.pin();
      this.#show();
    }
    if (this.pin.pinned) this.#to(this.max);
  }

  /** Goes to the end and stays there. */
  toEnd() {
    this.pin.pin();
    this.#show();
    this.follow();
  }

  /**
   * Changes the content above the reader without moving what they read.
   * @param {() => void} change
   */
  keep(change) {
    const before = this.box.scrollHeight - this.box.scrollTop;
    change();
    if (!this.pin.pinned) this.#to(Math.max(0, this.box.scrollHeight - before));
  }

  /** Brings a message into view; the view is no longer pinned. @param {Element} node */
  reveal(node) {
    this.unpin();
    const top = this.box.scrollTop + node.getBoundingClientRect().top - this.box.getBoundingClientRect().top - 16;
    this.#to(Math.max(0, Math.min(this.max, top)));
  }

  /** @param {number} top */
  #to(top) {
    const target = Math.round(top);
    if (Math.abs(this.box.scrollTop - target) < 1) return;
    this.pin.moving(target);
    this.box.scrollTop = target;
  }

  #scrolled() {
    const max = this.max;
    const was = this.pin.pinned;
    this.pin.scrolled(Math.min(max, Math.max(0, this.box.scrollTop)), max);
    if (was !== this.pin.pinned) this.#show();
  }

  /** Stops following: the reader goes up. */
  unpin() {
    // Without anything to scroll, "up" has no meaning.
    if (!this.pin.pinned || this.max <= END_PX) return;
    this.pin.up();
    this.#show();
  }

  #show() {
    // The browser's own anchoring would fight ours while pinned, and is what keeps the place otherwise.
    this.box.classList.toggle('pinned', this.pin.pinned);
    this.onpin(this.pin.pinned);
  }
}
