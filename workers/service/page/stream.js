// The stream of what happens: one connection, that comes back by itself where it was cut.

import { authorization } from "/static/session.js";
import { query, Refusal, request } from "/static/api.js";

const FIRST_WAIT = 500,
  LONGEST_WAIT = 15_000; // ms between attempts, doubled each time
const SILENCE = 45_000; // ms; the service says something every 15 s

export const streaming = new EventTarget(); // events "live", "reconnecting" and "idle"

// Follows `runs` (all summaries when there are none) until `signal`; calls `on[kind](data)`, and
// `on.open()` for each connection.
// `cursor` is where earlier answers end. Resolves when it is over.
export async function follow({ runs = [], names = [], cursor = null, signal, on }) {
  const place = { id: cursor };
  let wait = FIRST_WAIT;
  while (!signal.aborted) {
    try {
      await listen({ run: runs, name: names, cursor: place.id }, signal, (event) => {
        if (event.kind === "open") return on.open?.();
        wait = FIRST_WAIT;
        place.id = event.id || place.id;
        told(on[event.kind], event.data);
      });
    } catch (error) {
      // A service that has only begun knows no run yet; without a token there is no use in asking.
      if (error instanceof Refusal && error.status === 401) break;
    }
    if (signal.aborted) break;
    say("reconnecting");
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }
  say("idle");
}

// What goes wrong where an event is shown is no reason to connect anew.
function told(act, data) {
  try {
    act?.(JSON.parse(data));
  } catch (error) {
    reportError(error);
  }
}

// One connection, until it ends or says nothing for too long.
async function listen(parameters, signal, onEvent) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE);
  try {
    const answer = await request(`/v1/stream${query(parameters)}`, {
      headers: { Accept: "text/event-stream", ...authorization() },
      signal: AbortSignal.any([signal, silence.signal]),
    });
    say("live");
    onEvent({ kind: "open" });
    const parse = parser(onEvent);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      parse(part.value);
    }
  } finally {
    clearTimeout(timer);
  }
}

// Takes pieces of an event stream, and calls `onEvent({id, kind, data})` for each whole event.
export function parser(onEvent) {
  let rest = "",
    event = { id: "", kind: "message", data: [] };
  return (piece) => {
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) onEvent({ ...event, data: event.data.join("\n") });
        event = { id: "", kind: "message", data: [] };
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (field === "id") event.id = value;
      else if (field === "event") event.kind = value;
      else if (field === "data") event.data.push(value);
    }
  };
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function say(state) {
  streaming.dispatchEvent(new Event(state));
}
