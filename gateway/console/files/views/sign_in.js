// Who are you? With an admin key; it is tried before it is kept.

import { Api, ApiError } from "../api.js";
import { element, replaceChildren } from "../dom.js";
import { labelled } from "../forms.js";

// accepted(key) is called with a key that the gateway takes.
export function signIn(reason, accepted) {
  const told = element("div", { role: "alert" }, reason && element("p", { class: "notice failed" }, reason));
  const field = element("input", {
    type: "password", name: "key", required: true, autocomplete: "off", spellcheck: "false", autofocus: true,
  });
  const button = element("button", { class: "primary" }, "Sign in");

  async function attempt(event) {
    event.preventDefault();
    const key = field.value.trim();
    button.disabled = true;
    replaceChildren(told);
    try {
      await new Api(key, () => {}).get("/v1/organization/projects", { limit: 1 });
      accepted(key);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // A key that may not list projects is a key all the same.
      if (error.status === 403) accepted(key);
      else replaceChildren(told, element("p", { class: "notice failed" }, error.message));
    } finally {
      button.disabled = false;
    }
  }

  return element("div", { class: "sign-in" },
    element("h1", {}, "Gateway console"),
    element("p", { class: "quiet" }, "Projects, keys, limits and usage. What you see and may change is what your key may."),
    told,
    element("form", { onsubmit: attempt },
      labelled("Admin key", "Begins with gwa_, or is the key the gateway was installed with. It stays in this tab and is forgotten when you close it.", field),
      element("div", {}, button)));
}
