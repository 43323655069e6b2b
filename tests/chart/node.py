"""Run the containers of rendered pods as processes of this machine, as a kubelet would.

Their environment, files and flags are the chart's. What cannot be the same here is put in its
place: ports are free ones, addresses are loopback, and mounted directories lie below one.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chart.helm import Object, Rendered
from tests.stack.gateway import is_ready
from tests.stack.process import Process, accepts_connections, free_port
from tests.stack.triton import TritonPorts, start_triton

_BIN = Path(sys.executable).parent
# By component: the ports that its containers listen on.
_PORTS = {
    "gateway": ("8080", "9100", "9443"),
    "worker": ("8000", "8001", "8002"),
    "redis": ("6379",),
    "usage-exporter": ("9101",),
}
NAMESPACE = "inference"


@dataclass
class Container:
    """One that can be run here."""

    command: list[str]
    env: dict[str, str]
    directory: Path
    spec: Object


@dataclass
class Node:
    """Where the pods of a release run."""

    rendered: Rendered
    directory: Path
    # Secrets that the release expects there, by name: their keys and values.
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fullname: str = "gw-llm-gateway"

    def __post_init__(self) -> None:
        self.ports = {
            (component, port): free_port() for component, ports in _PORTS.items() for port in ports
        }

    def container(self, pod_name: str) -> Container:
        """The first one of that pod: what is to be run, with which environment."""
        pod = self.rendered.pods()[pod_name]
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        spec = pod["spec"]["containers"][0]
        directory = self.directory / component
        mounts = self._mount(pod, spec, directory)

        paths = "|".join(re.escape(each) for each in sorted(mounts, key=len, reverse=True))

        def here(text: str) -> str:
            moved = re.sub(rf"(?<![\w/])({paths})(?=/|$|\s)", lambda at: str(mounts[at[1]]), text)
            return self._addresses(moved)

        for path in mounts.values():
            for each in path.iterdir():
                if each.suffix in (".conf", ".sh", ".yaml"):
                    text = here(each.read_text())
                    if component == "redis":
                        text = text.replace("6379", str(self.ports["redis", "6379"]))
                    each.write_text(text)
        env = {name: here(text) for name, text in self._env(spec).items()}
        if component == "gateway":
            for name in ("GATEWAY_PORT", "GATEWAY_OPS_PORT", "GATEWAY_ADMIN_PORT"):
                if name in env:
                    env[name] = str(self.ports["gateway", env[name]])
        command = [here(part) for part in [*spec.get("command", []), *spec.get("args", [])]]
        if component == "worker":
            command = [
                re.sub(r"(?<=-port=)\d+", lambda at: str(self.ports["worker", at[0]]), part)
                for part in command
            ]
        return Container(command, env, directory, spec)

    def start_redis(self) -> Process:
        container = self.container(f"StatefulSet/{self.fullname}-redis")
        programs = self._programs({"valkey-server": "redis-server", "valkey-cli": "redis-cli"})
        return Process(
            "Redis",
            container.command,
            log=container.directory / "log",
            env={**container.env, "PATH": programs},
            cwd=container.directory,
        )

    def start_worker(self, **env: str) -> Process:
        """Triton, with the chart's flags behind those that the image's entrypoint has; *env*: more
        settings."""
        container = self.container(f"StatefulSet/{self.fullname}-worker")
        return start_triton(
            TritonPorts(*(self.ports["worker", port] for port in ("8001", "8000", "8002"))),
            container.directory / "triton",
            env={**container.env, **env},
            server_flags=container.command,
        )

    def start_gateway(self, *, timeout_s: float = 60) -> Process:
        """Ready; raises StartError if it does not get so."""
        process = self.launch_gateway()
        try:
            process.wait_until(self.gateway_is_ready, timeout_s=timeout_s)
        except BaseException:
            process.kill()
            raise
        return process

    def launch_gateway(self) -> Process:
        container = self.container(f"Deployment/{self.fullname}-gateway")
        return Process(
            "The gateway",
            [sys.executable, "-m", "gateway"],
            log=container.directory / "log",
            env=container.env,
        )

    def start_usage_exporter(self) -> Process:
        """Told of on the port `self.ports["usage-exporter", "9101"]`."""
        container = self.container(f"Deployment/{self.fullname}-usage-exporter")
        port = self.ports["usage-exporter", "9101"]
        process = Process(
            "The usage exporter",
            [sys.executable, *container.command[1:]],
            log=container.directory / "log",
            env={**container.env, "USAGE_EXPORTER_PORT": str(port), "USAGE_EXPORTER_HELD_S": "1"},
        )
        process.wait_until(lambda: accepts_connections(port), timeout_s=30)
        return process

    def gateway_is_ready(self) -> bool:
        return is_ready(self.ports["gateway", "9100"])

    def run(self, pod_name: str) -> subprocess.CompletedProcess[str]:
        """A pod that ends by itself."""
        container = self.container(pod_name)
        return self.execute(container, container.command)

    def execute(self, container: Container, command: list[str]) -> subprocess.CompletedProcess[str]:
        """As `exec` probes and hooks do: in the container's environment."""
        programs = self._programs({"valkey-cli": "redis-cli"})
        return subprocess.run(
            command,
            env={**container.env, "PATH": programs},
            capture_output=True,
            text=True,
            check=False,
        )

    def _programs(self, aliases: Mapping[str, str]) -> str:
        """A PATH on which gwctl and python are ours, and Redis goes by its other name."""
        directory = self.directory / "bin"
        directory.mkdir(exist_ok=True)
        port = self.ports["redis", "6379"]
        for name, program in aliases.items():
            # REDIS_SERVER names another one, as for all tests.
            other = os.environ.get("REDIS_SERVER") if program == "redis-server" else None
            found = other or shutil.which(program)
            assert found is not None, program
            # In its container it asks the port that it need not be told.
            options = f"-p {port}" if name.endswith("-cli") else ""
            script = f'#!/bin/sh\nexec {shlex.quote(found)} {options} "$@"\n'
            (directory / name).write_text(script)
            (directory / name).chmod(0o755)
        return f"{directory}:{_BIN}:/usr/bin:/bin"

    def _addresses(self, text: str) -> str:
        """Names of Services, and of all interfaces, as they are here."""
        ports = {"80": "8080", "443": "8080"}

        def local(found: re.Match[str]) -> str:
            component, port = found["component"], found["port"]
            return f"127.0.0.1:{self.ports[component, ports.get(port, port)]}"

        text = re.sub(
            rf"{self.fullname}-(?P<component>gateway|worker|redis)(\.{NAMESPACE}\.svc)?"
            r":(?P<port>\d+)",
            local,
            text,
        )
        return text.replace("0.0.0.0", "127.0.0.1")

    def _env(self, spec: Object) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in spec.get("envFrom", []):
            found.update(self._data("ConfigMap", source["configMapRef"]["name"]))
        for each in spec.get("env", []):
            if "value" in each:
                text = each["value"]
            else:
                reference = each["valueFrom"]["secretKeyRef"]
                text = self._data("Secret", reference["name"])[reference["key"]]
            found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda at: found.get(at[1], at[0]), text)
        return found

    def _data(self, kind: str, name: str) -> dict[str, str]:
        if kind == "Secret" and name in self.secrets:
            return dict(self.secrets[name])
        (found,) = [
            each for each in self.rendered.of_kind(kind) if each["metadata"]["name"] == name
        ]
        data: dict[str, str] = found["data"]
        if kind == "Secret":
            return {key: base64.b64decode(value).decode() for key, value in data.items()}
        return data

    def _mount(self, pod: Object, spec: Object, directory: Path) -> dict[str, Path]:
        """Where each mount is; what is in it is written anew."""
        volumes: dict[str, Any] = {each["name"]: each for each in pod["spec"].get("volumes", [])}
        mounts = {}
        for mount in spec.get("volumeMounts", []):
            # Triton's processes share the machine's own.
            if mount["mountPath"] == "/dev/shm":
                continue
            path = directory / "mounts" / mount["name"]
            path.mkdir(parents=True, exist_ok=True)
            volume = volumes.get(mount["name"], {})
            if "configMap" in volume:
                files = self._data("ConfigMap", volume["configMap"]["name"])
            elif "secret" in volume:
                files = self._data("Secret", volume["secret"]["secretName"])
                if "items" in volume["secret"]:
                    keys = {each["key"]: each["path"] for each in volume["secret"]["items"]}
                    files = {keys[key]: text for key, text in files.items() if key in keys}
            else:
                files = {}
            for name, text in files.items():
                (path / name).write_text(text)
            mounts[mount["mountPath"]] = path
        return mounts
