/**
 * The model's reasoning before its answer: folded, with the time that it took.
 */

import { h, icon, text } from '../dom.js';
import { duration, number, t } from '../i18n.js';
import { BodyView } from './body.js';

const TICK_MS = 200;

export class ReasoningView {
  constructor() {
    this.label = h('span');
    this.body = new BodyView();
    this.body.node.classList.add('quiet');
    this.node = h('details.reasoning', null, h('summary', null, icon('chevron'), this.label), this.body.node);
    /** Whether the reader has opened or closed it: then it is theirs. */
    this.touched = false;
    this.node.querySelector('summary').addEventListener('click', () => (this.touched = true));
    this.node.addEventListener('toggle', () => this.#render());
    this.content = '';
    this.thinking = false;
    this.took = 0;
  }

  /**
   * @param {object} state
   * @param {string} state.text
   * @param {boolean} state.thinking it has not come to the answer yet
   * @param {number} [state.since] when it began
   * @param {number} [state.ms] how long it took
   */
  update({ text: content, thinking, since, ms }) {
    this.content = content;
    if (thinking !== this.thinking) {
      this.thinking = thinking;
      // The server reports it at the end; until then our own measurement is shown.
      this.took = thinking || !since ? 0 : Date.now() - since;
      if (!this.touched) this.node.open = thinking;
    }
    this.node.classList.toggle('thinking', thinking);
    clearInterval(this.timer);
    if (thinking && since) {
      const tick = () => {
        // An element that is gone must not keep a clock.
        if (!this.node.isConnected && this.ticked) return clearInterval(this.timer);
        this.ticked = true;
        text(this.label, t('reasoning.now', { time: seconds(Math.max(0, Date.now() - since)) }));
      };
      this.ticked = false;
      tick();
      this.timer = setInterval(tick, TICK_MS);
    } else {
      const known = ms || this.took;
      text(this.label, known ? t('reasoning.took', { time: known < 1000 ? seconds(known) : duration(known) }) : t('reasoning.done'));
    }
    this.#render();
  }

  /** Closed, it costs nothing. */
  #render() {
    if (this.node.open) this.body.update(this.content, this.thinking);
  }
}

/** A running clock: always in seconds with one decimal. @param {number} ms */
function seconds(ms) {
  return ms < 60_000 ? `${number(ms / 1000, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} s` : duration(ms);
}
