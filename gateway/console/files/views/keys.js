// The API keys of a project: made, replaced, revoked.

import { element } from "../dom.js";
import { moment } from "../format.js";
import { choiceField, confirm, form, showToken, textField } from "../forms.js";

const LIFETIMES = [["", "never"], ["7", "in 7 days"], ["30", "in 30 days"], ["90", "in 90 days"], ["365", "in a year"]];
const OVERLAP_S = 86400;

export async function keysTab(api, project, again) {
  const path = `/v1/organization/projects/${project.id}/api_keys`;
  const keys = await api.all(path);
  return element("div", {},
    keys.length === 0
      ? element("p", { class: "notice" }, "There is no key yet. Make one below: it is what a client sends as its API key.")
      : element("div", { class: "scroll" }, element("table", {},
        element("thead", {}, element("tr", {},
          ["Name", "Key", "State", "Created", "Last used", "Expires", ""].map((title) => element("th", {}, title)))),
        element("tbody", {}, keys.map(row)))),
    project.status === "active" && element("h2", {}, "New key"),
    project.status === "active" && form({
      class: "line",
      button: "Create key",
      fields: [
        textField("name", "Name", { required: true, maxlength: 200, hint: "Who or what will use it." }),
        choiceField("days", "Expires", LIFETIMES, { value: "90" }),
      ],
      submit: async ({ name, days }) => {
        const expires = days === "" ? {} : { expires_at: Math.floor(Date.now() / 1000) + Number(days) * 86400 };
        shown("The new key", await api.post(path, { name, ...expires }));
      },
      done: again,
    }));

  function row(key) {
    return element("tr", {},
      element("td", {}, key.name || element("span", { class: "quiet" }, "–")),
      element("td", {}, element("code", {}, key.redacted_value)),
      element("td", {}, element("span", { class: `state ${key.status}` }, key.status)),
      element("td", {}, moment(key.created_at)),
      element("td", {}, moment(key.last_used_at)),
      element("td", {}, moment(key.expires_at)),
      element("td", { class: "actions" }, key.status === "active" && [
        element("button", { type: "button", onclick: () => rotate(key) }, "Rotate…"), " ",
        element("button", { type: "button", class: "danger", onclick: () => revoke(key) }, "Revoke…"),
      ]));
  }

  function rotate(key) {
    confirm({
      title: "Replace this key?",
      text: `A new token is made for ${key.name || key.id}. The old one works for another 24 hours, so that clients can change over.`,
      button: "Make a new token",
      act: async () => {
        shown("The new token", await api.post(`${path}/${key.id}/rotate`, { overlap_seconds: OVERLAP_S }));
        again();
      },
    });
  }

  function revoke(key) {
    confirm({
      title: "Revoke this key?",
      text: `${key.name || key.id} is refused from its next request on, everywhere. This cannot be undone.`,
      button: "Revoke key",
      act: async () => {
        await api.post(`${path}/${key.id}/revoke`);
        again();
      },
    });
  }
}

function shown(title, { value }) {
  showToken({ title, token: value, text: "It is shown this once; the gateway keeps only its hash. Store it where secrets belong." });
}
