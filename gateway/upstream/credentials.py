"""What a gateway and its workers show each other: nothing, or certificates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class WorkerTls:
    """Files in PEM. Without certificate and key the gateway does not say who it is.

    They are read again for every new connection to a worker, and connections are made
    anew when one of the files changes: certificates are rotated where nobody looks.
    """

    ca_file: Path
    certificate_file: Path | None = None
    key_file: Path | None = None
    # What the workers' certificates are issued for, as they are reached by address.
    server_name: str | None = None

    def read(self) -> grpc.ChannelCredentials:
        """Raises OSError."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca_file.read_bytes(),
            private_key=_content(self.key_file),
            certificate_chain=_content(self.certificate_file),
        )

    def version(self) -> tuple[int, ...]:
        """Changes when a file does. Raises OSError."""
        files = (self.ca_file, self.certificate_file, self.key_file)
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)


def _content(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()
