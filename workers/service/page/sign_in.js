// Asks for the token.

import { element, replace } from "/static/dom.js";

// Calls `accepted(token)` when the service knows it.
export function signInView({ main, title }, accepted) {
  title("Sign in");
  const input = element("input", {
    id: "token",
    type: "password",
    autocomplete: "current-password",
    required: true,
    "aria-describedby": "token-help token-problem",
  });
  const problem = element("p", { id: "token-problem", class: "problem", role: "alert" });
  const send = async (event) => {
    event.preventDefault();
    problem.textContent = await refused(input.value.trim());
    if (problem.textContent) input.focus();
    else await accepted(input.value.trim());
  };
  replace(
    main,
    element(
      "form",
      { class: "sign-in", onsubmit: send },
      element("h1", { tabindex: -1 }, "Sign in"),
      element("label", { for: "token" }, "Token"),
      input,
      element(
        "p",
        { id: "token-help", class: "note" },
        "Whoever runs the service gives you one. This tab keeps it until it is closed.",
      ),
      problem,
      element("button", { class: "primary" }, "Sign in"),
    ),
  );
}

// Why the service does not take the token; nothing when it does.
async function refused(token) {
  if (!/^[\x21-\x7e]+$/.test(token)) return "A token has letters, digits and signs, and no spaces.";
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch("/v1/runs?limit=1", {
      headers,
      credentials: "omit",
      cache: "no-store",
    });
    if (answer.ok) return "";
    return answer.status === 401
      ? "The service does not know this token."
      : `The service answered ${answer.status}.`;
  } catch {
    return "The service does not answer.";
  }
}
