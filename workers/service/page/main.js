// The page: what is at the top of it, and the view that the address names.

import { get, reachable } from "/static/api.js";
import { auditView } from "/static/audit.js";
import { button, element, replace } from "/static/dom.js";
import { compareView } from "/static/compare.js";
import { link, route } from "/static/router.js";
import { runView } from "/static/run.js";
import { runsView } from "/static/runs.js";
import { keepToken, token } from "/static/session.js";
import { signInView } from "/static/sign_in.js";
import { startView } from "/static/start.js";
import { streaming } from "/static/stream.js";
import { tasksView } from "/static/tasks.js";

const RETRY = 3000; // ms between looks for a service that does not answer

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const live = element("span", { class: "live", role: "status" });

let service = null;
let shown = null; // {key, leave, update} of the view that is there

async function begin() {
  try {
    service = await get("/v1/service");
  } catch {
    return void setTimeout(begin, RETRY);
  }
  showTop();
  await showView();
}

// The view that the address asks for; one that is there already is told of the new address.
async function showView() {
  if (!service) return;
  const at = route();
  const [key, view] = chosen(at);
  markPlace(at.parts[0]);
  if (shown?.key === key && shown.update) return shown.update(at);
  shown?.leave.abort();
  const leave = new AbortController();
  shown = { key, leave };
  const context = { service, route: at, main, signal: leave.signal, title: setTitle };
  try {
    const update = await view(context);
    if (!leave.signal.aborted) shown.update = update;
  } catch (error) {
    if (leave.signal.aborted) return;
    showError(error);
  }
  if (!leave.signal.aborted) focusHeading();
}

function chosen({ parts: [place, name] }) {
  if (service.needs_token && !service.user) return ["sign-in", signIn];
  if (place === "runs") return name ? [`run ${name}`, runView] : ["runs", runsView];
  if (place === "compare") return ["compare", compareView];
  if (place === "tasks") return ["tasks", tasksView];
  if (place === "audit") return ["audit", auditView];
  if (place === "start" && !service.read_only) return [`start ${location.hash}`, startView];
  return ["nowhere", nowhere];
}

function signIn(context) {
  return signInView(context, async (value) => {
    keepToken(value);
    await begin();
  });
}

function nowhere({ main, title }) {
  title("Nothing is here");
  const way = element("a", { href: link(["runs"]) }, "All runs");
  replace(main, element("h1", { tabindex: -1 }, "Nothing is here"), element("p", {}, way));
}

function showError(error) {
  setTitle("Not shown");
  const text = element("p", { class: "problem unloaded", role: "alert" }, error.message);
  const again = button("Try again", reload);
  replace(main, element("h1", { tabindex: -1 }, "This cannot be shown"), text, again);
}

function reload() {
  shown?.leave.abort();
  shown = null;
  return showView();
}

function focusHeading() {
  const heading = main.querySelector("h1");
  if (heading && document.activeElement?.closest("main") === null)
    heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function setTitle(text) {
  document.title = `${text} · metaopt`;
}

function showTop() {
  const places = [
    ["runs", "Runs"],
    ["compare", "Compare"],
    ["tasks", "Tasks"],
    ["audit", "Audit"],
  ];
  if (!service.read_only) places.push(["start", "Start a run"]);
  const signedOut = service.needs_token && !service.user;
  const links = places.map(([place, text]) =>
    element("a", { href: link([place]), "data-place": place }, text),
  );
  replace(document.getElementById("nav"), signedOut ? [] : links);
  const user = service.user && element("span", { class: "user" }, service.user);
  const readOnly = service.read_only && element("span", { class: "read-only" }, "read-only");
  const out =
    token() && button("Sign out", () => (keepToken(null), location.reload()), { class: "quiet" });
  replace(document.getElementById("account"), live, readOnly, user, out);
}

function markPlace(place) {
  for (const each of document.querySelectorAll("#nav a")) {
    if (each.dataset.place === place) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function showLive(state) {
  live.className = `live is-${state}`;
  live.textContent = { live: "live", reconnecting: "reconnecting …" }[state] || "";
}

for (const state of ["live", "reconnecting", "idle"])
  streaming.addEventListener(state, () => showLive(state));

reachable.addEventListener("lost", () => {
  banner.textContent =
    "The service does not answer. What is shown may be old; this page tries again by itself.";
  const timer = setInterval(() => get("/v1/service").catch(() => {}), RETRY);
  reachable.addEventListener(
    "found",
    () => {
      clearInterval(timer);
      banner.textContent = "";
      if (main.querySelector(".unloaded")) reload();
    },
    { once: true },
  );
});

reachable.addEventListener("denied", () => {
  if (!service || shown?.key === "sign-in") return;
  keepToken(null);
  service = { ...service, needs_token: true, user: null };
  showTop();
  showView();
});

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", showView);
begin();
