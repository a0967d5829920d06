// Evaluation reports, each in a frame that can do nothing but show it.

import { get, getText, runPath } from "/static/api.js";
import { select } from "/static/chart_settings.js";
import { element, replace } from "/static/dom.js";
import { note } from "/static/router.js";

export async function evaluationSection({ run, body, signal, query }) {
  const { evaluations } = await get(runPath(run.id), signal); // there may be new ones
  if (!evaluations.length) {
    replace(
      body,
      element("p", { class: "empty" }, "No suite has been evaluated. "),
      element("p", {}, element("code", {}, "metaopt evaluate"), " evaluates one."),
    );
    return;
  }
  const asked = query.get("suite");
  const first = evaluations.includes(asked) ? asked : evaluations[0];
  const place = element("div", {});
  const show = async (suite) => {
    note({ suite });
    const report = await getText(
      `${runPath(run.id)}/evaluations/${encodeURIComponent(suite)}/report`,
      signal,
    );
    replace(place, frame(suite, report));
  };
  const suites = Object.fromEntries(evaluations.map((suite) => [suite, suite]));
  const choice = select("Suite", suites, first, (suite) =>
    show(suite).catch((error) => replace(place, error.message)),
  );
  replace(body, element("div", { class: "settings" }, choice), place);
  await show(first);
}

// A frame cannot send the token: the report was fetched with it, and is handed over on request.
function frame(suite, report) {
  const attributes = {
    class: "report",
    src: "/static/frame.html",
    sandbox: "allow-scripts",
    title: `Evaluation report on ${suite}`,
  };
  const node = element("iframe", attributes);
  const hand = (message) => {
    if (message.source !== node.contentWindow || message.data !== "ready") return;
    node.contentWindow.postMessage(report, "*");
    removeEventListener("message", hand);
  };
  addEventListener("message", hand);
  return node;
}
