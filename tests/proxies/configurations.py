"""What a rendered HTTPRoute or Ingress makes a proxy do, in the proxy's own words. Pure.

As Envoy Gateway, ingress-nginx and HAProxy's controller translate it, as far as the chart says
anything; what it does not say is left to the proxy's own defaults. Nothing that the chart
renders is ignored: an annotation that is not known here is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NGINX = "nginx.ingress.kubernetes.io/"
_HAPROXY = "haproxy.org/"

# Annotation to directive.
_NGINX_DIRECTIVES = {
    "proxy-buffering": "proxy_buffering",
    "proxy-http-version": "proxy_http_version",
    "proxy-read-timeout": "proxy_read_timeout",
    "proxy-send-timeout": "proxy_send_timeout",
    "proxy-body-size": "client_max_body_size",
}
_HAPROXY_DIRECTIVES = {"timeout-server": "timeout server"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy listens, what it shows there, and what it passes requests on to."""

    port: int
    certificate: Path  # a chain and its key, in one file
    gateway_port: int
    directory: Path  # for what it writes


def envoy(place: Place, timeouts: Mapping[str, str] | None) -> str:
    """*timeouts*: of the rule of an HTTPRoute; None as if it had none."""
    route: dict[str, Any] = {"cluster": "gateway"}
    for name, value in (timeouts or {}).items():
        match name:
            case "request":
                route["timeout"] = value
            case "backendRequest":
                route["retry_policy"] = {"per_try_timeout": value}
            case _:
                raise ValueError(f"Envoy is not told of timeouts.{name}")
    manager = {
        "@type": _type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in",
        "use_remote_address": True,  # appended to X-Forwarded-For
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": route}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _type("filters.http.router.v3.Router")},
            }
        ],
    }
    pem = {"filename": str(place.certificate)}
    tls = {
        "@type": _type("transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{"certificate_chain": pem, "private_key": pem}],
        },
    }
    return json.dumps(
        {
            "static_resources": {
                "listeners": [
                    {
                        "name": "https",
                        "address": _address(place.port),
                        "filter_chains": [
                            {
                                "transport_socket": {"name": "tls", "typed_config": tls},
                                "filters": [{"name": "http", "typed_config": manager}],
                            }
                        ],
                    }
                ],
                "clusters": [
                    {
                        "name": "gateway",
                        "connect_timeout": "1s",
                        "load_assignment": {
                            "cluster_name": "gateway",
                            "endpoints": [
                                {
                                    "lb_endpoints": [
                                        {"endpoint": {"address": _address(place.gateway_port)}}
                                    ]
                                }
                            ],
                        },
                    }
                ],
            }
        }
    )


def nginx(place: Place, annotations: Mapping[str, str]) -> str:
    """*annotations*: of an Ingress; none: as nginx would be without us."""
    directives = {
        _NGINX_DIRECTIVES[name.removeprefix(_NGINX)]: value
        for name, value in annotations.items()
        if name.startswith(_NGINX)
    }
    told = "".join(f"      {name} {value};\n" for name, value in directives.items())
    # nginx makes these for itself, where it may not be allowed to.
    temporary = "".join(
        f"  {kind}_temp_path {place.directory / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
master_process off;
pid {place.directory / "nginx.pid"};
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}\
  server {{
    listen 127.0.0.1:{place.port} ssl http2;
    ssl_certificate {place.certificate};
    ssl_certificate_key {place.certificate};
    location / {{
      proxy_pass http://127.0.0.1:{place.gateway_port};
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Connection "";
{told}\
    }}
  }}
}}
"""


def haproxy(place: Place, annotations: Mapping[str, str]) -> str:
    """*annotations*: of an Ingress."""
    directives = {
        _HAPROXY_DIRECTIVES[name.removeprefix(_HAPROXY)]: value
        for name, value in annotations.items()
        if name.startswith(_HAPROXY)
    }
    told = "".join(f"  {name} {value}\n" for name, value in directives.items())
    return f"""\
defaults
  mode http
  option forwardfor
  timeout connect 5s
  timeout client 50s
  timeout server 50s
frontend https
  bind 127.0.0.1:{place.port} ssl crt {place.certificate} alpn h2,http/1.1
  default_backend gateway
backend gateway
{told}\
  server gateway 127.0.0.1:{place.gateway_port}
"""


def _type(name: str) -> str:
    return f"type.googleapis.com/envoy.extensions.{name}"


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
