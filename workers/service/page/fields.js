// The fields of a form, from what the service says of a configuration's keys.

import { element, setText } from "/static/dom.js";

export class Fields {
  #inputs = new Map(); // by key

  // `fields` as in `Recipe`. `changed()` is called after every change, and `kindChanged(key)` after
  // that of a kind. `before` are {overrides, open}, of the fields in whose place these come.
  constructor(fields, { changed, kindChanged, before = { overrides: {}, open: null } }) {
    this.given = before.overrides;
    this.groups = grouped(fields).map(([table, members]) => {
      const open = before.open?.get(table) ?? table.split(".").length === 1;
      return this.#group(table, members, open, changed, kindChanged);
    });
    this.node = element(
      "div",
      {},
      this.groups.map(({ node }) => node),
    );
    this.#showCounts();
  }

  // What differs from the recipe, by key.
  overrides() {
    const differing = [...this.#inputs.values()].filter((input) => input.differs());
    return {
      ...this.given,
      ...Object.fromEntries(differing.map((input) => [input.field.key, input.value()])),
    };
  }

  // Enters [[key, value]], as who fills in the form does.
  enter(values) {
    for (const [key, value] of values) this.#inputs.get(key)?.enter(value);
    this.#showCounts();
  }

  // Which tables are unfolded.
  open() {
    return new Map(this.groups.map(({ table, node }) => [table, node.open]));
  }

  // Shows lines that begin with a key beside its field, and returns the others.
  refuse(lines) {
    for (const input of this.#inputs.values()) input.refuse("");
    const rest = [];
    for (const line of lines) {
      const input = this.#inputs.get(keyOf(line, this.#inputs));
      if (input) input.refuse(line.replace(`${input.field.key}: `, ""));
      else rest.push(line);
    }
    for (const group of this.groups)
      if (group.members.some((input) => input.refused)) group.node.open = true;
    return rest;
  }

  focus(key) {
    this.#inputs.get(key)?.control.focus();
  }

  focusRefused() {
    [...this.#inputs.values()].find((input) => input.refused)?.control.focus();
  }

  // Shows those that have the text in their name or help.
  filter(text) {
    const wanted = text.trim().toLowerCase();
    for (const { node, members } of this.groups) {
      for (const { field, node } of members) {
        node.hidden = !`${field.key} ${field.help}`.toLowerCase().includes(wanted);
      }
      node.hidden = members.every(({ node }) => node.hidden);
      if (wanted && !node.hidden) node.open = true;
    }
  }

  #group(table, fields, open, changed, kindChanged) {
    const members = fields.map(
      (field) =>
        new Field(field, field.key in this.given, () => {
          this.#showCounts();
          if (field.key.endsWith(".kind")) kindChanged(field.key);
          else changed();
        }),
    );
    for (const input of members) this.#inputs.set(input.field.key, input);
    const badge = element("span", { class: "note" });
    const summary = element("summary", {}, element("h2", {}, table || "run"), badge);
    const node = element(
      "details",
      { class: "group", open },
      summary,
      members.map(({ node }) => node),
    );
    return { table, node, members, badge };
  }

  #showCounts() {
    for (const { members, badge } of this.groups || []) {
      const size = members.filter((input) => input.isChanged()).length;
      setText(badge, size ? `${size} changed` : "");
    }
  }
}

// One key: its input, its help, whether it was changed and why it was refused.
class Field {
  constructor(field, given, changed) {
    Object.assign(this, { field, given });
    const id = `field-${field.key}`;
    this.control = controlOf(field, id);
    this.problem = element("small", { id: `${id}-problem`, class: "problem" });
    const short = field.key.split(".").at(-1);
    this.mark = element("span", { class: "changed-mark", hidden: !given }, "changed");
    const label = element(
      "div",
      { class: "label" },
      element("label", { for: id }, short),
      this.mark,
    );
    const help = element("small", { id: `${id}-help` }, field.help);
    this.node = element("div", { class: "field" }, label, this.control, help, this.problem);
    this.control.setAttribute("aria-describedby", `${id}-help ${id}-problem`);
    this.control.addEventListener("input", () => {
      this.mark.hidden = !this.isChanged();
      this.refuse("");
      changed();
    });
  }

  value() {
    const { type } = this.field;
    const text = this.control.value;
    if (type === "boolean") return this.control.checked;
    if (type === "strings")
      return text
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean);
    if (type === "integer" || type === "number") {
      const isNumber = text.trim() !== "" && !Number.isNaN(Number(text));
      return isNumber ? Number(text) : text; // the service says what is wrong with it
    }
    return text;
  }

  enter(value) {
    if (this.field.type === "boolean") this.control.checked = value;
    else this.control.value = Array.isArray(value) ? value.join("\n") : String(value);
    this.mark.hidden = !this.isChanged();
  }

  differs() {
    const value = this.value(),
      was = this.field.value;
    if (was === null)
      return value !== "" && value !== false && !(Array.isArray(value) && !value.length);
    return JSON.stringify(value) !== JSON.stringify(was);
  }

  isChanged() {
    return this.given || this.differs();
  }

  refuse(line) {
    this.refused = Boolean(line);
    setText(this.problem, line);
    if (line) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
  }
}

function controlOf({ key, type, value, choices }, id) {
  const text = value === null ? "" : String(value);
  if (type === "boolean")
    return element("input", { id, type: "checkbox", checked: value === true });
  if (type === "choice") {
    const all = value === null || choices.includes(text) ? choices : [text, ...choices];
    const empty = value === null ? [element("option", { value: "" }, "–")] : [];
    return element(
      "select",
      { id },
      empty,
      all.map((one) => element("option", { value: one, selected: one === text }, one)),
    );
  }
  if (type === "strings") {
    const lines = value || [];
    const area = element("textarea", {
      id,
      rows: Math.min(Math.max(lines.length, 2), 8),
      spellcheck: "false",
    });
    area.value = lines.join("\n");
    return area;
  }
  const numeric = type === "integer" ? "numeric" : type === "number" ? "decimal" : null;
  return element("input", {
    id,
    value: text,
    inputmode: numeric,
    autocomplete: "off",
    spellcheck: "false",
    "data-key": key,
  });
}

// [[table, fields]] in the order in which tables first come.
function grouped(fields) {
  const tables = new Map();
  for (const field of fields) {
    const table = field.key.includes(".") ? field.key.slice(0, field.key.lastIndexOf(".")) : "";
    tables.set(table, [...(tables.get(table) || []), field]);
  }
  return [...tables];
}

// The longest key that the line begins with or names.
function keyOf(line, known) {
  const words = line
    .split(/[\s:,;'"`=()[\]]+/)
    .map((word) => word.replace(/^overrides\./, "").replace(/\.$/, ""));
  return words
    .filter((word) => known.has(word) && (word.includes(".") || word === words[0]))
    .sort((a, b) => b.length - a.length)[0];
}
