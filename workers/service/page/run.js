// One run: what it is and how it fares at the top, and below it one section of several.

import { announce } from "/static/announce.js";
import { get, runPath } from "/static/api.js";
import { element, replace, setText } from "/static/dom.js";
import { counted, dateTime, duration, listed, number, stepsDone } from "/static/format.js";
import { link } from "/static/router.js";
import { actionButtons } from "/static/run_actions.js";
import { checkpointsSection } from "/static/run_checkpoints.js";
import { configurationSection } from "/static/run_configuration.js";
import { curvesSection } from "/static/run_curves.js";
import { evaluationSection } from "/static/run_evaluation.js";
import { eventsSection } from "/static/run_events.js";
import { tasksSection } from "/static/run_tasks.js";
import { workersSection } from "/static/run_workers.js";
import { badge, showState } from "/static/states.js";
import { follow } from "/static/stream.js";

const SECTIONS = {
  curves: ["Curves", curvesSection],
  tasks: ["Tasks", tasksSection],
  workers: ["Workers", workersSection],
  events: ["Events", eventsSection],
  checkpoints: ["Checkpoints", checkpointsSection],
  evaluation: ["Evaluation", evaluationSection],
  configuration: ["Configuration", configurationSection],
};

export async function runView({ main, route, service, signal, title }) {
  const run = await get(runPath(route.parts[1]), signal);
  title(run.id);
  const view = new RunView(run, service, signal);
  replace(main, view.head(), view.tabs, view.place);
  await view.open(route);
  return (route) => view.open(route);
}

class RunView {
  #leave = new AbortController(); // of the section that is there
  #following = new AbortController(); // of its stream

  constructor(run, service, signal) {
    Object.assign(this, { run, service, signal });
    this.badge = badge(run.state);
    this.reason = element("p", { class: "reason" });
    this.actions = element("div", { class: "actions" });
    this.facts = element("dl", { class: "facts" });
    this.tabs = element("nav", { class: "tabs", "aria-label": "Sections of the run" });
    this.place = element("section", { "aria-label": "Section" });
    this.progress = element("progress", { "aria-label": "Outer steps done" });
  }

  head() {
    this.#showFacts();
    const heading = element("h1", { tabindex: -1 }, this.run.id);
    const kicker = element(
      "p",
      { class: "kicker" },
      element("a", { href: link(["runs"]) }, "Runs"),
    );
    const top = element(
      "div",
      { class: "view-head" },
      element("div", {}, kicker, heading),
      this.actions,
    );
    return [
      top,
      element("div", { class: "state-line" }, this.badge, this.progress),
      this.reason,
      this.facts,
    ];
  }

  async open({ parts, query }) {
    const chosen = Object.hasOwn(SECTIONS, parts[2]) ? parts[2] : "curves";
    const moved = this.section && this.section !== chosen;
    this.section = chosen;
    this.#leave.abort();
    this.#leave = new AbortController();
    const signal = AbortSignal.any([this.signal, this.#leave.signal]);
    this.#showTabs();
    const heading = element("h2", { tabindex: -1, class: "unseen" }, SECTIONS[chosen][0]);
    this.place.setAttribute("aria-label", SECTIONS[chosen][0]);
    const body = element("div", {});
    replace(this.place, heading, body);
    if (moved) heading.focus({ preventScroll: true });
    await this.#fill(chosen, body, signal, query);
  }

  async #fill(chosen, body, signal, query) {
    const { run, service } = this;
    try {
      let follows = false;
      const follow = (wanted) => {
        follows = true;
        this.#follow(wanted, signal);
      };
      await SECTIONS[chosen][1]({ run, service, body, signal, query, follow });
      if (!follows) follow({});
    } catch (error) {
      if (!signal.aborted)
        replace(body, element("p", { class: "problem unloaded", role: "alert" }, error.message));
    }
  }

  // One stream for the summary at the top and for what the section wants to know; it takes the
  // place of an earlier one.
  #follow({ names = [], cursor = null, on = {} }, whole) {
    if (whole.aborted) return; // another section is there by now
    this.#following.abort();
    this.#following = new AbortController();
    const signal = AbortSignal.any([whole, this.#following.signal]);
    const summary = (news) => (this.#update(news), on.run?.(news));
    follow({ runs: [this.run.id], names, cursor, signal, on: { ...on, run: summary } });
  }

  #update(news) {
    if (news.id !== this.run.id) return;
    if (news.state !== this.run.state) announce(`${news.id} is ${news.state}. ${news.reason}`);
    Object.assign(this.run, news);
    this.#showFacts();
  }

  #showTabs() {
    const tabs = Object.entries(SECTIONS).map(([name, [text]]) => {
      const current = name === this.section ? "page" : null;
      return element(
        "a",
        { href: link(["runs", this.run.id, name]), "aria-current": current },
        text,
      );
    });
    const focused = this.tabs.contains(document.activeElement);
    replace(this.tabs, tabs);
    const current = this.tabs.querySelector("[aria-current]");
    if (focused) current.focus();
    this.tabs.scrollLeft = current.offsetLeft - this.tabs.clientWidth / 3;
  }

  #showFacts() {
    const { run } = this;
    showState(this.badge, run.state);
    setText(this.reason, run.reason);
    this.progress.max = run.num_steps || 1;
    this.progress.value = Math.min(run.step, run.num_steps ?? 0);
    actionButtons(this.actions, run, this.service, (news) => this.#update(news));
    const facts = {
      "Outer steps": stepsDone(run),
      "Time left": run.seconds_left === null ? null : duration(run.seconds_left),
      "Meta-loss": number(run.meta_loss),
      "Best validation": run.best === null ? null : number(run.best),
      Workers: counted(run.workers) || null,
      Optimizer: run.optimizer,
      Estimator: run.estimator,
      Tasks: listed(run.tasks, 6),
      Began: run.began && dateTime(run.began),
      "Launched by": run.launch?.by,
    };
    showList(this.facts, facts);
  }
}

// Only what differs is changed, for some of it may be selected.
function showList(list, facts) {
  const known = Object.entries(facts).filter(([, value]) => value);
  const names = known.map(([name]) => name).join("\n");
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    replace(
      list,
      known.map(([name]) => element("div", {}, element("dt", {}, name), element("dd", {}))),
    );
  }
  known.forEach(([, value], i) => setText(list.children[i].lastChild, value));
}
