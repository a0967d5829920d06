// What a run has learned on each task family, and how its estimates were shared among them.

import { get, runPath } from "/static/api.js";
import { element, replace } from "/static/dom.js";
import { count, number, percent } from "/static/format.js";
import { link } from "/static/router.js";
import { sparkline } from "/static/sparkline.js";

export async function tasksSection({ run, body, signal }) {
  const families = await get(`${runPath(run.id)}/families`, signal);
  if (!families.length) {
    replace(body, element("p", { class: "empty" }, "No estimate has come in yet."));
    return;
  }
  replace(body, progressTable(families), curriculumTable(families));
}

function progressTable(families) {
  const columns = [
    "Family",
    "Meta-loss",
    "First",
    "Newest",
    "Estimates",
    "Different tasks",
    "Non-finite inner runs",
  ];
  const rows = families.map((family) => {
    const curve = sparkline(family.sparkline, `Meta-loss on ${family.family}`);
    const numbers = [
      number(family.first),
      number(family.last),
      count(family.estimates),
      count(family.tasks),
      count(family.nonfinite_runs),
    ];
    return element("tr", {}, familyHead(family), element("td", {}, curve), numbers.map(cell));
  });
  return table("Meta-loss by task family", columns, rows);
}

// In each tenth of the run so far, the share of the estimates that each family has.
function curriculumTable(families) {
  const tenths = Math.max(...families.map(({ share }) => share.length));
  if (!tenths) return null;
  const columns = [
    "Family",
    ...Array.from({ length: tenths }, (_, i) => `${10 * i}–${10 * (i + 1)} %`),
  ];
  const rows = families.map((family) => {
    const cells = family.share.map((share) => {
      const heat = element("span", { class: "heat" }, percent(share));
      heat.style.setProperty("--share", `${Math.round(100 * share)}%`);
      return element("td", { class: "number" }, heat);
    });
    return element("tr", {}, familyHead(family), cells);
  });
  return table("Curriculum: share of the estimates in each tenth of the run so far", columns, rows);
}

function familyHead({ family }) {
  return element("th", { scope: "row" }, element("a", { href: link(["tasks", family]) }, family));
}

function cell(text) {
  return element("td", { class: "number" }, text);
}

function table(caption, columns, rows) {
  const head = columns.map((text) => element("th", { scope: "col" }, text));
  const whole = element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, head)),
    element("tbody", {}, rows),
  );
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    whole,
  );
}
