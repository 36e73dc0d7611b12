/**
 * The sessions of this person as the list shows them. Pure.
 */

/** @typedef {import('./wire.js').Session} Session */

export class SessionList {
  constructor() {
    /** @type {Map<string, Session>} */
    this.sessions = new Map();
    /** Gives the next page, while there is one. @type {string | undefined} */
    this.cursor = undefined;
    /** Whether the first page has arrived. */
    this.ready = false;
    /** The number of changes so far. */
    this.changes = 0;
    /** The latest change of each session. @type {Map<string, number>} */
    this.changed = new Map();
  }

  /**
   * Takes a page from the server. Pages may arrive late: a change of a session since the request is newer.
   * @param {{sessions: Session[], cursor?: string}} page
   * @param {number} asked `changes` when the page was asked for
   * @param {boolean} first what is here and not in the first page, yet not older than its end, was deleted meanwhile;
   *   older pages that were loaded before stay
   */
  page({ sessions, cursor }, asked, first) {
    const newer = (/** @type {Session} */ { id }) => (this.changed.get(id) ?? 0) > asked;
    const end = cursor ? (sessions.at(-1)?.updated_at ?? 0) : -Infinity;
    const before = first ? [...this.sessions.values()] : [];
    const older = before.filter((session) => !session.pinned && session.updated_at < end);
    if (first) {
      this.sessions = new Map([...older, ...before.filter(newer)].map((session) => [session.id, session]));
      this.ready = true;
    }
    if (!older.length) this.cursor = cursor;
    for (const session of sessions) if (!newer(session)) this.sessions.set(session.id, session);
  }

  /** A session is new or different; a deleted or archived one goes. @param {Session} session */
  upsert(session) {
    this.changed.set(session.id, ++this.changes);
    if (session.deleted_at || session.archived) this.sessions.delete(session.id);
    else this.sessions.set(session.id, { ...session, hits: undefined });
  }

  /** @param {string} id */
  get(id) {
    return this.sessions.get(id);
  }

  /** Pinned first, then the latest change first. @returns {Session[]} */
  sorted() {
    return [...this.sessions.values()].sort(
      (a, b) => Number(b.pinned) - Number(a.pinned) || b.updated_at - a.updated_at || (a.id < b.id ? 1 : -1),
    );
  }
}
