// How a run is configured, who launched it, and which states it has been in.

import { get, runPath } from "/static/api.js";
import { code } from "/static/copy.js";
import { element, replace } from "/static/dom.js";
import { dateTime } from "/static/format.js";
import { link } from "/static/router.js";
import { badge } from "/static/states.js";

export async function configurationSection({ run, body, signal }) {
  const { config, launch, transitions } = await get(runPath(run.id), signal);
  replace(
    body,
    launch && launched(launch),
    transitions.length > 0 && states(transitions),
    code("Configuration", config),
  );
}

function launched({ by, at, recipe, clone_of: original, overrides, submission, pid }) {
  const changes = Object.entries(overrides).map(([key, value]) =>
    element("li", {}, element("code", {}, `${key} = ${JSON.stringify(value)}`)),
  );
  const facts = {
    "Launched by": by,
    At: dateTime(at),
    Recipe: recipe,
    "Clone of": original && element("a", { href: link(["runs", original]) }, original),
    "Ray job": submission,
    Process: pid,
    Changes: changes.length > 0 && element("ul", { class: "plain" }, changes),
  };
  const known = Object.entries(facts).filter(([, value]) => value);
  return element(
    "dl",
    { class: "facts" },
    known.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)),
    ),
  );
}

function states(transitions) {
  const rows = transitions.map(({ state, at, reason }) => {
    return element(
      "li",
      {},
      badge(state),
      element("span", { class: "when" }, dateTime(at)),
      element("span", {}, reason),
    );
  });
  return [element("h3", {}, "States"), element("ol", { class: "transitions" }, rows)];
}
