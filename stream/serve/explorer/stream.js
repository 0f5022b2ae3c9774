// Server-sent events by fetch: an EventSource cannot send the token. Comes back by itself after two seconds.
import { api, Failure } from "./api.js";

const AGAIN_AFTER_MS = 2000;

// got(answer) for each event; failed(failure) when it breaks off. Returns { stop }.
export function follow(got, failed) {
  let control = null,
    timer = 0,
    stopped = false;

  async function read() {
    const mine = (control = new AbortController());
    try {
      const response = await api.nowStream(mine.signal);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Failure("gone");
        const events = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const data = event
            .split("\n")
            .filter((line) => line.startsWith("data:"))
            .map((line) => line.slice(5))
            .join("\n");
          if (data) got(JSON.parse(data));
        }
      }
    } catch (error) {
      if (stopped || mine.signal.aborted) return;
      const failure = error.kind ? error : new Failure("gone", String(error.message ?? error));
      failed(failure);
      if (failure.kind !== "token") timer = setTimeout(read, AGAIN_AFTER_MS);
    }
  }

  read();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      control?.abort();
    },
  };
}
