// The admin API, asked with the key of whoever has signed in.

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `The gateway answered ${status}.`);
    this.status = status;
    this.code = body?.error?.code ?? null;
    this.param = body?.error?.param ?? null;
  }
}

export class Api {
  #key;
  #refused;

  // refused() is called when the key is not, or no longer, accepted.
  constructor(key, refused) {
    this.#key = key;
    this.#refused = refused;
  }

  get(path, parameters = {}) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      for (const each of [value].flat()) {
        if (each !== null && each !== undefined) query.append(name, each);
      }
    }
    return this.#ask("GET", query.size ? `${path}?${query}` : path);
  }

  post(path, body = {}) {
    return this.#ask("POST", path, body);
  }

  delete(path) {
    return this.#ask("DELETE", path);
  }

  // All pages of a list, at most `most` entries.
  async all(path, parameters = {}, most = 1000) {
    const found = [];
    let after;
    do {
      const page = await this.get(path, { ...parameters, limit: 100, after });
      found.push(...page.data);
      after = page.has_more ? page.last_id : null;
    } while (after && found.length < most);
    return found;
  }

  async #ask(method, path, body) {
    let answer;
    try {
      answer = await fetch(path, {
        method,
        headers: {
          authorization: `Bearer ${this.#key}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
      });
    } catch {
      throw new ApiError(0, { error: { message: "The gateway cannot be reached." } });
    }
    const text = await answer.text();
    let parsed = null;
    try {
      parsed = text ? JSON.parse(text) : null;
    } catch {
      // A proxy's own page: the status has to do.
    }
    if (!answer.ok) {
      const error = new ApiError(answer.status, parsed);
      if (answer.status === 401) this.#refused(error);
      throw error;
    }
    return parsed;
  }
}
