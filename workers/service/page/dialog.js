// A question over the page, with the browser's own dialog: it holds the focus and gives it back.

import { button, element } from "/static/dom.js";

// Asks; `act()` is called when the answer is yes, and what it raises is shown. `body` are nodes.
export function ask({ title, body = [], yes, danger = false, act }) {
  const problem = element("p", { class: "problem", role: "alert" });
  const confirm = element("button", { class: danger ? "danger" : "primary" }, yes);
  const heading = element("h2", { id: "dialog-title" }, title);
  const close = () => dialog.close();
  const send = async (event) => {
    event.preventDefault();
    confirm.disabled = true;
    try {
      await act();
      close();
    } catch (error) {
      problem.textContent = [error.message, ...(error.errors || [])].join(" ");
      confirm.disabled = false;
    }
  };
  const buttons = element("div", { class: "actions" }, button("Cancel", close), confirm);
  const form = element("form", { onsubmit: send }, heading, body, problem, buttons);
  const dialog = element(
    "dialog",
    { "aria-labelledby": "dialog-title", onclose: () => dialog.remove() },
    form,
  );
  document.body.append(dialog);
  dialog.showModal();
}
