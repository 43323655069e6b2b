// Forms that say what went wrong next to what was entered, and questions before what cannot be undone.

import { ApiError } from "./api.js";
import { element, replaceChildren } from "./dom.js";

// submit(values) is async; whatever the API refuses is told in the form. done() follows a success.
export function form({ fields, button, submit, done = () => {}, ...attributes }) {
  const told = element("div", { role: "alert" });
  const send = element("button", { class: "primary" }, button);

  async function submitted(event) {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    send.disabled = true;
    replaceChildren(told);
    try {
      await submit(values);
      done();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      replaceChildren(told, element("p", { class: "notice failed" }, error.message));
    } finally {
      send.disabled = false;
    }
  }

  return element("div", {}, told, element("form", { onsubmit: submitted, ...attributes }, fields, element("div", {}, send)));
}

export function textField(name, title, { hint = null, ...attributes } = {}) {
  return labelled(title, hint, element("input", { name, autocomplete: "off", ...attributes }));
}

// An empty field is no limit. A step of 1: the browser refuses fractions by itself.
export function numberField(name, title, { value = null, hint = null } = {}) {
  return labelled(title, hint, element("input", {
    name, type: "number", min: 1, step: 1, inputmode: "numeric", placeholder: "no limit", value: value ?? "",
  }));
}

export function choiceField(name, title, choices, { value, hint = null } = {}) {
  return labelled(title, hint, element("select", { name }, choices.map(([choice, words]) =>
    element("option", { value: choice, selected: choice === value }, words))));
}

let controls = 0;

// The hint describes the control; it is no part of its name.
export function labelled(title, hint, control) {
  control.id = `control-${++controls}`;
  if (hint) control.setAttribute("aria-describedby", `${control.id}-hint`);
  return element("div", { class: "field" },
    element("label", { for: control.id }, title), control,
    hint && element("small", { id: `${control.id}-hint` }, hint));
}

// Asks first; act() is async. Failures are told in the dialog, which stays open.
export function confirm({ title, text, button, act }) {
  const told = element("div", { role: "alert" });
  const go = element("button", { class: "danger", type: "button", onclick: attempt }, button);
  const dialog = open(
    element("h1", {}, title), element("p", {}, text), told,
    element("div", { class: "buttons" },
      element("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));

  async function attempt() {
    go.disabled = true;
    try {
      await act();
      dialog.close();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      replaceChildren(told, element("p", { class: "notice failed" }, error.message));
      go.disabled = false;
    }
  }
}

// A secret that is shown once.
export function showToken({ title, token, text }) {
  const copy = element("button", { type: "button", class: "primary", onclick: async () => {
    try {
      await navigator.clipboard.writeText(token);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select and copy it by hand";
    }
  } }, "Copy");
  const dialog = open(
    element("h1", {}, title), element("p", {}, text),
    element("code", { class: "token" }, token),
    element("div", { class: "buttons" }, copy,
      element("button", { type: "button", onclick: () => dialog.close() }, "I have stored it")));
}

function open(...children) {
  const dialog = element("dialog", {}, children);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
