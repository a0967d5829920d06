// Starts a run: choose, change, plan, start.

import { announce } from "/static/announce.js";
import { get, post } from "/static/api.js";
import { select } from "/static/chart_settings.js";
import { element, replace, setText } from "/static/dom.js";
import { Fields } from "/static/fields.js";
import { planSummary } from "/static/plan.js";
import { go } from "/static/router.js";

export async function startView({ main, route, service, signal, title }) {
  const original = route.query.get("clone");
  const { recipes } = original ? { recipes: [] } : await get("/v1/recipes", signal);
  const recipe = recipes.find(({ name }) => name === route.query.get("recipe")) || recipes[0];
  const source = original ? { clone_of: original } : { recipe: recipe?.name };
  const { fields } = recipe || (await post("/v1/forms", source));
  title(original ? `Clone ${original}` : "Start a run");
  const form = new StartForm(fields, source);
  const heading = element("h1", { tabindex: -1 }, original ? `Clone ${original}` : "Start a run");
  const where =
    service.launcher === "ray"
      ? "As a job of the Ray cluster"
      : "As a process on the machine of the service";
  const choices = Object.fromEntries(recipes.map(({ name }) => [name, name]));
  const choice =
    recipes.length > 0 &&
    element(
      "div",
      { class: "settings" },
      select("Recipe", choices, recipe.name, (name) => go(["start"], { recipe: name })),
    );
  replace(
    main,
    element("p", { class: "kicker" }, where),
    heading,
    recipe && element("p", { class: "lead" }, recipe.title),
    choice,
    form.node,
  );
}

class StartForm {
  #plan = null; // {request, key}: what was planned, and the key under which it is started

  constructor(fields, source) {
    this.source = source;
    this.fields = this.#fields(fields);
    this.search = element("input", {
      type: "search",
      "aria-label": "Filter settings",
      placeholder: "Filter settings",
      oninput: () => this.fields.filter(this.search.value),
    });
    this.count = element("span", { class: "note", role: "status" });
    this.name = element("input", {
      id: "run-name",
      autocomplete: "off",
      pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,127}",
      oninput: () => this.#changed(),
    });
    this.problem = element("div", { class: "problem", role: "alert", tabindex: -1 });
    this.place = element("section", { class: "plan", "aria-label": "Plan", tabindex: -1 });
    this.status = element("p", { class: "note", role: "status" });
    this.planButton = element("button", { class: "primary" }, "Plan");
    this.startButton = element(
      "button",
      { type: "button", class: "primary", onclick: () => this.#start() },
      "Start",
    );
    this.node = this.#form();
  }

  #form() {
    const help = "Letters, digits, “.”, “_”, “-”. Without one it is the recipe's with the time.";
    const name = element(
      "div",
      { class: "field" },
      element("div", { class: "label" }, element("label", { for: "run-name" }, "Name of the run")),
      this.name,
      element("small", {}, help),
    );
    this.name.setAttribute("aria-describedby", "run-name-help");
    name.lastChild.id = "run-name-help";
    const bar = element(
      "div",
      { class: "actions sticky" },
      this.planButton,
      this.count,
      this.status,
    );
    this.#showCount();
    return element(
      "form",
      { class: "start", novalidate: true, onsubmit: (event) => this.#askPlan(event) },
      name,
      this.problem,
      this.search,
      this.fields.node,
      bar,
      this.place,
    );
  }

  #fields(fields, before) {
    return new Fields(fields, {
      changed: () => this.#changed(),
      kindChanged: (key) => this.#changeKind(key),
      before,
    });
  }

  // Another kind has other keys: the service says which. What was entered for others is kept.
  async #changeKind(key) {
    const table = key.slice(0, -"kind".length);
    const kept = Object.entries(this.fields.overrides()).filter(
      ([other]) => other === key || !other.startsWith(table),
    );
    const isKind = ([other]) => other.endsWith(".kind");
    const overrides = Object.fromEntries(kept.filter(isKind));
    try {
      const { fields } = await post("/v1/forms", { ...this.source, overrides });
      const old = this.fields;
      this.fields = this.#fields(fields, { overrides, open: old.open() });
      this.fields.enter(kept.filter((entry) => !isKind(entry)));
      old.node.replaceWith(this.fields.node);
      this.fields.filter(this.search.value);
      this.fields.focus(key);
      this.#changed();
    } catch (error) {
      this.#show(error);
    }
  }

  #showCount() {
    const size = Object.keys(this.fields.overrides()).length;
    setText(this.count, size ? `${size} changed` : "Nothing is changed");
  }

  async #askPlan(event) {
    event.preventDefault();
    const request = { ...this.source, overrides: this.fields.overrides() };
    await this.#busy(this.planButton, "Planning: compiles and runs one estimate …", async () => {
      const plan = await post("/v1/plans", request);
      this.#plan = { request: JSON.stringify(request), key: randomKey() };
      const start = element(
        "div",
        { class: "actions" },
        this.startButton,
        element("span", { class: "note" }, "starts it as planned"),
      );
      replace(this.place, element("h2", { tabindex: -1 }, "Plan"), planSummary(plan), start);
      this.place.querySelector("h2").focus();
    });
  }

  async #start() {
    const request = {
      ...this.source,
      overrides: this.fields.overrides(),
      name: this.name.value.trim() || null,
    };
    await this.#busy(this.startButton, "Starting …", async () => {
      const run = await post("/v1/runs", request, { "Idempotency-Key": this.#plan.key });
      announce(`${run.id} is ${run.state}`);
      go(["runs", run.id]);
    });
  }

  // While something is asked for, the same cannot be asked again; what is refused is shown.
  async #busy(pressed, text, act) {
    if (pressed.getAttribute("aria-disabled") === "true") return;
    pressed.setAttribute("aria-disabled", "true");
    setText(this.status, text);
    this.#show(null);
    try {
      await act();
    } catch (error) {
      this.#show(error);
    }
    pressed.removeAttribute("aria-disabled");
    setText(this.status, "");
  }

  // Each line goes beside the field that it is about, and the others to the top.
  #show(error) {
    if (!error) {
      this.fields.refuse([]);
      return this.problem.replaceChildren();
    }
    const errors = error.errors || [];
    const whole = errors.some((line) => line.endsWith(error.message)) ? [] : [error.message];
    const rest = this.fields.refuse([...errors, ...whole]);
    replace(
      this.problem,
      rest.map((line) => element("p", {}, line)),
    );
    if (rest.length) this.problem.focus();
    else this.fields.focusRefused();
  }

  #changed() {
    this.#showCount();
    if (!this.#plan) return;
    const request = JSON.stringify({ ...this.source, overrides: this.fields.overrides() });
    if (request === this.#plan.request) return void (this.#plan.key = randomKey());
    this.#plan = null;
    replace(
      this.place,
      element("p", { class: "note" }, "The configuration has changed since it was planned."),
    );
  }
}

// The same key and the same body start one run, however often they are sent.
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
