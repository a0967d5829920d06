// Requests to the service. `reachable` tells who listens when it stops and begins to answer.

import { authorization } from "/static/session.js";

export const reachable = new EventTarget(); // events "lost", "found" and "denied"

let lost = false;

// What the service refused, and why; `errors` are lines about single keys.
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The service answered ${status}.`);
    this.status = status;
    this.errors = problem.errors || [];
  }
}

export async function get(path, signal) {
  return (await request(path, { signal })).json();
}

export async function getText(path, signal) {
  return (await request(path, { signal })).text();
}

export async function getBlob(path, signal) {
  return (await request(path, { signal })).blob();
}

export async function post(path, body, headers = {}) {
  const answer = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return answer.json();
}

// Raises `Refusal` when the service says no, and TypeError when nothing answers.
export async function request(path, options = {}) {
  const headers = { ...authorization(), ...options.headers };
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", credentials: "omit", ...options, headers });
  } catch (error) {
    if (error.name !== "AbortError") tell(true);
    throw error;
  }
  tell([502, 503, 504].includes(answer.status));
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

export function query(values) {
  const pairs = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") pairs.append(key, one);
    }
  }
  const text = pairs.toString();
  return text && `?${text}`;
}

export const runPath = (run) => `/v1/runs/${encodeURIComponent(run)}`;

async function refusal(answer) {
  if (answer.status === 401) reachable.dispatchEvent(new Event("denied"));
  const problem = await answer.json().catch(() => ({}));
  return new Refusal(answer.status, problem);
}

function tell(isLost) {
  if (lost !== isLost) reachable.dispatchEvent(new Event(isLost ? "lost" : "found"));
  lost = isLost;
}
