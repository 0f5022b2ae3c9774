// "Less of this" is sent a moment later, so that it can be taken back: what was sent is an event and cannot.

const UNDO_MS = 6000;

// send(what, leaving) is called once per thing, unless it was undone before; at the latest when the page is left.
export function sending(send) {
  const waiting = new Map();
  const now = (key, leaving = false) => {
    const held = waiting.get(key);
    if (!held) return;
    clearTimeout(held.timer);
    waiting.delete(key);
    send(key, held.what, leaving);
  };
  addEventListener("pagehide", () => [...waiting.keys()].forEach((key) => now(key, true)));
  return {
    put: (key, what) => waiting.set(key, { what, timer: setTimeout(() => now(key), UNDO_MS) }),
    undo(key) {
      clearTimeout(waiting.get(key)?.timer);
      return waiting.delete(key);
    },
    now,
  };
}
