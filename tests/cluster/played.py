"""`kubectl` and `helm` on a PATH that play their part: what they are asked is answered here, by the test."""

from __future__ import annotations

import json
import os
import re
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PROGRAM = """#!{python}
import json, socket, sys
from pathlib import Path
given = sys.stdin.read() if "--filename" in sys.argv else None
asked = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
with socket.create_connection(("127.0.0.1", {port})) as test, test.makefile("rw") as lines:
    print(json.dumps({{"asked": asked, "given": given}}), file=lines, flush=True)
    answer = json.loads(lines.readline())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["code"])
"""


@dataclass(frozen=True)
class Answer:
    out: str = ""
    err: str = ""
    code: int = 0


# In turns, the last one for ever; or what comes of what was asked, and given on stdin.
Rule = Sequence[Answer] | Callable[[str, Any], Answer]


@dataclass
class Played:
    """The first rule that is found in what was asked answers; without one, success and nothing."""

    directory: Path
    rules: dict[str, Rule]
    calls: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def environment(self, **more: str) -> Mapping[str, str]:
        path = f"{self.directory}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": "/dev/null", **more}

    def asked(self, pattern: str = "") -> list[str]:
        return [each["asked"] for each in self.calls if re.search(pattern, each["asked"])]

    def given(self, pattern: str) -> Any:
        (found,) = [each["given"] for each in self.calls if re.search(pattern, each["asked"])]
        return json.loads(found)

    def answer(self, call: dict[str, Any]) -> Answer:
        self.calls.append(call)
        for pattern, rule in self.rules.items():
            if not re.search(pattern, call["asked"]):
                continue
            if callable(rule):
                return rule(call["asked"], json.loads(call["given"] or "null"))
            with self._lock:
                answer, *later = rule
                self.rules[pattern] = later or [answer]
            return answer
        return Answer()


@contextmanager
def playing(directory: Path, rules: dict[str, Rule]) -> Iterator[Played]:
    played = Played(directory, rules)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answer = played.answer(json.loads(self.rfile.readline()))
            self.wfile.write(f"{json.dumps(vars(answer))}\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True  # one may answer nobody who still waits

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.server_address[1]
        for name in ("kubectl", "helm"):
            program = directory / name
            program.write_text(_PROGRAM.format(python=sys.executable, port=port))
            program.chmod(0o755)
        try:
            yield played
        finally:
            server.shutdown()
            thread.join()
