// Who started, stopped, resumed and scaled what, and what came of it.

import { get } from "/static/api.js";
import { element, replace } from "/static/dom.js";
import { dateTime } from "/static/format.js";
import { link } from "/static/router.js";

const COLUMNS = ["When", "Who", "From", "Change", "Run", "What came of it"];

export async function auditView({ main, signal, title }) {
  const { entries } = await get("/v1/audit?limit=200", signal);
  title("Audit");
  const heading = element("h1", { tabindex: -1 }, "Audit");
  const kicker = element("p", { class: "kicker" }, "The newest changes that were asked for");
  const nothing = element("p", {}, "Nobody has asked this service to change anything.");
  replace(main, kicker, heading, entries.length ? table(entries) : nothing);
}

function table(entries) {
  const head = COLUMNS.map((text) =>
    element("th", { scope: "col", role: "columnheader" }, text),
  );
  const whole = element(
    "table",
    { class: "cards", role: "table" },
    element("caption", { class: "unseen" }, "Changes"),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, head)),
    element("tbody", { role: "rowgroup" }, entries.map(row)),
  );
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of changes" },
    whole,
  );
}

function row({ at, by, address, action, run, outcome }) {
  const place = element("a", { href: link(["runs", run]) }, run);
  const cells = [by, address, action, place, outcome].map((content, i) =>
    element("td", { role: "cell", "data-label": COLUMNS[i + 1] }, content),
  );
  const when = element("th", { scope: "row", role: "rowheader" }, dateTime(at));
  return element("tr", { role: "row" }, when, cells);
}
