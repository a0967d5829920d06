// Builds elements. What comes from the service goes in as text only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

// An HTML element. Attributes that are null or false are left out, one that is a function listens.
// Children may be nodes, texts, numbers, null and lists of these.
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

// The same in SVG.
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export function replace(parent, ...children) {
  parent.replaceChildren(...nodes(children));
  return parent;
}

// Text for eyes that cannot see what is around it.
export function unseen(text) {
  return element("span", { class: "unseen" }, text);
}

export function button(label, act, attributes = {}) {
  return element("button", { type: "button", onclick: act, ...attributes }, label);
}

// Changes the text only where it differs, so that nothing is announced or selected anew.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...nodes(children));
  return node;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false);
}
