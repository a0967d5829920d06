// What can be done with a run.

import { announce } from "/static/announce.js";
import { post, query, runPath } from "/static/api.js";
import { ask } from "/static/dialog.js";
import { button, element, replace } from "/static/dom.js";
import { download } from "/static/download.js";
import { link } from "/static/router.js";

// Fills `place` with the buttons that the run allows now; `changed(run)` is told what came of them.
export function actionButtons(place, run, service, changed) {
  const allowed = run.actions.filter((action) => action === "export" || !service.read_only);
  if (place.dataset.allowed === allowed.join()) return;
  place.dataset.allowed = allowed.join();
  replace(
    place,
    allowed.map((action) => BUTTONS[action]?.(run, changed)),
  );
}

// Downloads the export of a checkpoint; of the best one when `step` is null.
export function exportButton(run, step = null) {
  const label = step === null ? "Download export" : "Download";
  const name = step === null ? null : `Download export of step ${step}`;
  const node = button(
    label,
    async () => {
      node.disabled = true;
      node.textContent = "Preparing …";
      try {
        await download(`${runPath(run.id)}/export${query({ step })}`, `${run.id}.zip`);
      } catch (error) {
        ask({
          title: "No export",
          body: element("p", {}, error.message),
          yes: "Close",
          act: () => {},
        });
      }
      node.textContent = label;
      node.disabled = false;
    },
    { "aria-label": name },
  );
  return node;
}

const BUTTONS = {
  stop: (run, changed) =>
    button("Stop", () => {
      ask({
        title: `Stop ${run.id}?`,
        body: element(
          "p",
          {},
          "It ends after the present outer step and writes a checkpoint, from which it can go on.",
        ),
        yes: "Stop the run",
        danger: true,
        act: () => send(run, "stop", {}, changed, "stopping"),
      });
    }),

  resume: (run, changed) =>
    button("Resume", () => {
      const input = element("input", {
        type: "number",
        min: run.step + 1,
        placeholder: run.num_steps ?? "",
      });
      ask({
        title: `Resume ${run.id}?`,
        body: [
          element(
            "p",
            {},
            `It goes on from its last checkpoint; it has made ${run.step} outer steps.`,
          ),
          element(
            "label",
            { class: "field" },
            element("span", {}, "Outer steps in all (empty: as configured)"),
            input,
          ),
        ],
        yes: "Resume the run",
        act: () =>
          send(
            run,
            "resume",
            { num_steps: input.value ? Number(input.value) : null },
            changed,
            "resuming",
          ),
      });
    }),

  scale: (run, changed) =>
    button("Scale", () => {
      const now = Object.values(run.workers).reduce((sum, size) => sum + size, 0);
      const input = element("input", { type: "number", min: 1, required: true, value: now || 1 });
      ask({
        title: `Workers of ${run.id}`,
        body: element("label", { class: "field" }, element("span", {}, "Number of workers"), input),
        yes: "Scale the run",
        act: () => send(run, "scale", { workers: Number(input.value) }, changed, "being scaled"),
      });
    }),

  clone: (run) =>
    element("a", { class: "button", href: link(["start"], { clone: run.id }) }, "Clone"),

  export: (run) => exportButton(run),
};

async function send(run, action, body, changed, doing) {
  changed(await post(`${runPath(run.id)}/${action}`, body));
  announce(`${run.id} is ${doing}`);
}
