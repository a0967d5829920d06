// States of runs and workers, each with a sign of its own so that colour is not all that tells.

import { element } from "/static/dom.js";

export const RUN_STATES = [
  "pending",
  "running",
  "stalled",
  "succeeded",
  "failed",
  "stopped",
  "lost",
];
export const ACTIVE = new Set(["pending", "running", "stalled"]);

const SIGNS = {
  pending: "○",
  running: "●",
  stalled: "◐",
  succeeded: "✓",
  failed: "✕",
  stopped: "■",
  lost: "?",
  suspect: "◐",
  restarting: "↻",
  quarantined: "✕",
  released: "○",
};

export function badge(state) {
  const node = element("span", {});
  showState(node, state);
  return node;
}

export function showState(node, state) {
  if (node.dataset.state === state) return;
  node.dataset.state = state;
  node.className = `badge is-${state in SIGNS ? state : "other"}`;
  const sign = element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[state] || "·");
  node.replaceChildren(sign, state);
}
