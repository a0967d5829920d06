// Text that can be taken along.

import { announce } from "/static/announce.js";
import { button, element } from "/static/dom.js";

// A button that copies what `text()` gives, and says so.
export function copyButton(label, text, style = "quiet") {
  const node = button(
    label,
    async () => {
      try {
        await copy(text());
        node.textContent = "Copied";
      } catch {
        node.textContent = "Not copied";
      }
      announce(node.textContent);
      setTimeout(() => (node.textContent = label), 1600);
    },
    { class: style },
  );
  return node;
}

// Code with a button that copies it.
export function code(label, text) {
  const region = { tabindex: 0, role: "region", "aria-label": `${label}, text` };
  const head = element(
    "div",
    { class: "panel-head" },
    element("h3", {}, label),
    copyButton(`Copy ${label.toLowerCase()}`, () => text),
  );
  return element("div", { class: "code" }, head, element("pre", region, element("code", {}, text)));
}

// The clipboard is there only for pages of this machine or with TLS; elsewhere the old way.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("no clipboard");
}
