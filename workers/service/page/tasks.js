// The task families, and tasks drawn from them.

import { get, getText, query } from "/static/api.js";
import { copyButton } from "/static/copy.js";
import { button, element, replace, setText } from "/static/dom.js";
import { count, listed } from "/static/format.js";
import { link, note } from "/static/router.js";

const DRAWN = 12;

export async function tasksView({ main, route, signal, title }) {
  title("Tasks");
  const { families } = await get("/v1/task-families", signal);
  const list = familyList(families);
  const place = element("section", { class: "family" });
  const head = element(
    "div",
    {},
    element("p", { class: "kicker" }, `${families.length} families`),
    element("h1", { tabindex: -1 }, "Tasks"),
  );
  replace(main, head, element("div", { class: "explorer" }, list.node, place));
  const open = async ({ parts, query }) => {
    const family = families.find(({ family }) => family === parts[1]) || families[0];
    if (!family) return replace(place, element("p", { class: "empty" }, "There are no families."));
    list.mark(family.family);
    await familySection(place, family, Number(query.get("seed")) || 0, signal);
    if (parts[1])
      place.querySelector("h2").focus({ preventScroll: matchMedia("(min-width: 50rem)").matches });
  };
  await open(route);
  return open;
}

function familyList(families) {
  const links = families.map(({ family, about }) =>
    element("li", {}, element("a", { href: link(["tasks", family]), title: about }, family)),
  );
  const filter = () => {
    const text = search.value.trim().toLowerCase();
    families.forEach(({ family, about }, i) => {
      links[i].hidden = !`${family} ${about}`.toLowerCase().includes(text);
    });
  };
  const search = element("input", {
    type: "search",
    "aria-label": "Filter families",
    placeholder: "Filter families",
    oninput: filter,
  });
  const mark = (name) =>
    links.forEach((item, i) => {
      if (families[i].family === name) item.firstChild.setAttribute("aria-current", "page");
      else item.firstChild.removeAttribute("aria-current");
    });
  return {
    node: element(
      "nav",
      { class: "families", "aria-label": "Task families" },
      search,
      element("ul", {}, links),
    ),
    mark,
  };
}

async function familySection(place, { family, about, data_sets: dataSets }, seed, signal) {
  const cards = element("ul", { class: "cards-grid", "aria-label": `Tasks of ${family}` });
  const status = element("p", { class: "note", role: "status" });
  const input = element("input", { type: "number", min: 0, step: 1, value: seed });
  const path = `/v1/task-families/${encodeURIComponent(family)}/tasks`;
  const show = async () => {
    setText(status, "Drawing …");
    try {
      const { tasks } = await get(`${path}${query({ seed: input.value, count: DRAWN })}`, signal);
      replace(
        cards,
        tasks.map((task) => card(task, signal)),
      );
      setText(status, tasks.length === 1 ? "1 task" : `${tasks.length} tasks`);
    } catch (error) {
      if (!signal.aborted) setText(status, error.message);
    }
  };
  const draw = (value) => {
    input.value = Math.max(0, Math.floor(value) || 0);
    note({ seed: input.value });
    return show();
  };
  const others = button("Draw others", () => draw(Number(input.value) + 1));
  const controls = element(
    "form",
    { class: "settings", onsubmit: (event) => (event.preventDefault(), draw(Number(input.value))) },
    element("label", {}, element("span", {}, "Seed"), input),
    element("button", {}, "Draw"),
    others,
    status,
  );
  const data =
    dataSets.length > 0 && element("p", { class: "note" }, `Data: ${listed(dataSets, 12)}`);
  replace(
    place,
    element("h2", { tabindex: -1 }, family),
    element("p", { class: "lead" }, about),
    data,
    controls,
    cards,
  );
  await show();
}

function card({ task, configuration, num_parameters: size, thumbnail }, signal) {
  const picture = element("img", { alt: "", width: 160, height: 120 });
  showPicture(picture, thumbnail, signal);
  return element(
    "li",
    { class: "card" },
    picture,
    element("h3", {}, task),
    element("p", { class: "note" }, `${count(size)} parameters`),
    element(
      "details",
      {},
      element("summary", {}, "Configuration", element("span", { class: "unseen" }, ` of ${task}`)),
      pairs(configuration),
    ),
    labelled(
      copyButton("Copy name", () => task),
      `Copy name of ${task}`,
    ),
  );
}

// Tables in it stand below their names.
function pairs(configuration) {
  const rows = Object.entries(configuration).map(([key, value]) => {
    const isTable = value !== null && typeof value === "object" && !Array.isArray(value);
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return element(
      "div",
      { class: isTable ? "table" : null },
      element("dt", {}, key),
      element("dd", {}, isTable ? pairs(value) : text),
    );
  });
  return element("dl", { class: "pairs" }, rows);
}

function labelled(node, label) {
  node.setAttribute("aria-label", label);
  return node;
}

// Pictures need the token too, so they come as text; scripts in an image never run.
async function showPicture(picture, path, signal) {
  try {
    if (!path.startsWith("/v1/")) return;
    picture.src = `data:image/svg+xml,${encodeURIComponent(await getText(path, signal))}`;
  } catch {
    picture.remove();
  }
}
