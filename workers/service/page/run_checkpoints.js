// The checkpoints of a run, the export, and how to use it.

import { get, runPath } from "/static/api.js";
import { code } from "/static/copy.js";
import { element, replace } from "/static/dom.js";
import { bytes, count, dateTime } from "/static/format.js";
import { exportButton } from "/static/run_actions.js";

export async function checkpointsSection({ run, body, signal, follow }) {
  const show = async () => {
    const { checkpoints, snippet, actions } = await get(runPath(run.id), signal);
    replace(
      body,
      table(run, checkpoints, actions.includes("export")),
      snippet && code("Use of the export", snippet),
    );
  };
  await show();
  let step = run.step;
  const newer = (news) => {
    if (news.step - step < 1 || document.hidden) return;
    step = news.step;
    const isUsed = body.contains(document.activeElement); // who is in the table keeps their place
    if (!isUsed) show().catch(() => {});
  };
  follow({ on: { run: newer } });
}

function table(run, checkpoints, exports) {
  if (!checkpoints.length) return element("p", { class: "empty" }, "There is no checkpoint yet.");
  const newest = Math.max(...checkpoints.map(({ step }) => step));
  const columns = ["Outer step", "Written", "Size", "", exports && "Export"].filter(
    (text) => text !== false,
  );
  const rows = [...checkpoints]
    .sort((a, b) => b.step - a.step)
    .map(({ step, at, bytes: size, best }) => {
      const marks = [step === newest && "current", best && "best"].filter(Boolean).join(", ");
      return element(
        "tr",
        { class: best ? "subject" : null },
        element("th", { scope: "row" }, count(step)),
        [dateTime(at), bytes(size), marks].map((text) => element("td", {}, text)),
        exports && element("td", {}, exportButton(run, step)),
      );
    });
  const head = columns.map((text) =>
    text ? element("th", { scope: "col" }, text) : element("td", {}),
  );
  const whole = element(
    "table",
    {},
    element("caption", { class: "unseen" }, "Checkpoints"),
    element("thead", {}, element("tr", {}, head)),
    element("tbody", {}, rows),
  );
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of checkpoints" },
    whole,
  );
}
