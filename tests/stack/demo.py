"""A project and a key to try the product with, and how to."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stack.process import StartError

PROJECT_ID = "prj_demo_project"


@dataclass(frozen=True, slots=True)
class Tenant:
    project_id: str
    key: str


def gwctl(environment: Mapping[str, str], *arguments: str) -> Any:
    """Run `gwctl`, as an operator would; its JSON. Raises StartError with what it says.

    *environment*: where it finds a gateway's admin API, or Redis.
    """
    done = subprocess.run(
        [str(Path(sys.executable).with_name("gwctl")), *arguments, "-o", "json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StartError(f"gwctl {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def tenant(environment: Mapping[str, str], *, key_file: Path) -> Tenant:
    """The demo project and its key: those of an earlier run, as long as Redis knows them."""
    projects = gwctl(environment, "project", "list")
    if PROJECT_ID not in {project["id"] for project in projects}:
        gwctl(environment, "project", "create", "demo", "--id", PROJECT_ID)
    key = key_file.read_text().strip() if key_file.exists() else ""
    active = {
        record["kid"]
        for record in gwctl(environment, "key", "list", "--project", PROJECT_ID)
        if record["state"] == "active"
    }
    if not key or key.split("_")[1] not in active:
        created = gwctl(environment, "key", "create", "--project", PROJECT_ID, "--name", "demo")
        key = created["token"]
        key_file.touch(mode=0o600)
        key_file.write_text(f"{key}\n")
    return Tenant(PROJECT_ID, key)


def write_env(path: Path, **variables: str) -> None:
    """Write *variables* for a shell to source, all at once."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text("".join(lines))
    fresh.rename(path)


def instructions(url: str, admin_url: str, admin_key: str, demo: Tenant) -> str:
    """What to paste next."""
    body = '{"model": "gpt-oss-120b", "input": "Why is the sky blue?"'
    return f"""
The gateway serves {url}. The answers come from a SIMULATOR, not from gpt-oss-120b.

A whole answer:

  curl {url}/v1/responses \\
    -H 'Authorization: Bearer {demo.key}' \\
    -H 'Content-Type: application/json' \\
    -d '{body}}}'

A streamed one:

  curl -N {url}/v1/responses \\
    -H 'Authorization: Bearer {demo.key}' \\
    -H 'Content-Type: application/json' \\
    -d '{body}, "stream": true}}'

With the OpenAI client (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="{demo.key}")
  print(client.responses.create(model="gpt-oss-120b", input="Why is the sky blue?").output_text)

What it has cost:

  . .run/env && .venv/bin/gwctl usage --project {demo.project_id}

The console, for a browser: {admin_url}/console/
Sign in with the admin key: {admin_key}

What it tells operators (docs/observability.md):

  . .run/env && curl $GATEWAY_METRICS_URL

Logs are in .run/, addresses and the key in .run/env. Ctrl-C stops everything."""
