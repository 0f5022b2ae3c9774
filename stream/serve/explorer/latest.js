// Questions that overtake each other: one on the way at a time, the newest waits for it a moment and then takes its
// place. What came before is never drawn once something newer was asked.

const PATIENCE_MS = 250;

// ask(question, signal) -> answer; drawn(question, answer) or failed(question, failure) for the newest only.
export function latest(ask, drawn, failed) {
  let number = 0,
    flying = null,
    waiting = null;

  async function send(question) {
    const mine = number,
      control = new AbortController();
    flying = { control, since: performance.now() };
    try {
      const answer = await ask(question, control.signal);
      if (mine === number) drawn(question, answer);
    } catch (failure) {
      if (mine === number && !control.signal.aborted) failed(question, failure);
    } finally {
      if (flying?.control === control) {
        flying = null;
        next();
      }
    }
  }

  function next() {
    if (waiting === null) return;
    const question = waiting.question;
    clearTimeout(waiting.timer);
    waiting = null;
    send(question);
  }

  return {
    put(question) {
      number++;
      if (!flying) return void send(question);
      if (waiting) waiting.question = question;
      else {
        const rest = Math.max(0, PATIENCE_MS - (performance.now() - flying.since));
        waiting = {
          question,
          timer: setTimeout(() => {
            flying?.control.abort();
            flying = null;
            next();
          }, rest),
        };
      }
    },
    drop() {
      // nothing that is on the way counts any more
      number++;
      if (waiting) clearTimeout(waiting.timer);
      waiting = null;
      flying?.control.abort();
      flying = null;
    },
  };
}
