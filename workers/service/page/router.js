// Where one is, in the address after "#", as in "#/runs/NAME/workers?axis=time". It can be sent
// to others, and the buttons of the browser go back and forth.

// {parts: ["runs", "NAME", "workers"], query: URLSearchParams}
export function route() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { parts: parts.length ? parts : ["runs"], query: new URLSearchParams(search) };
}

export function link(parts, values = {}) {
  const pairs = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of [value].flat()) if (one !== null && one !== "") pairs.append(key, one);
  }
  const path = `#/${parts.map(encodeURIComponent).join("/")}`;
  return pairs.size ? `${path}?${pairs}` : path;
}

export function go(parts, values) {
  location.hash = link(parts, values);
}

// Writes down what is shown, without going anywhere; null takes a key away.
export function note(values) {
  const { parts, query } = route();
  for (const [key, value] of Object.entries(values)) {
    query.delete(key);
    for (const one of [value].flat()) if (one !== null && one !== "") query.append(key, one);
  }
  const path = `#/${parts.map(encodeURIComponent).join("/")}`;
  history.replaceState(null, "", query.size ? `${path}?${query}` : path);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
