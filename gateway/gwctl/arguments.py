"""The command line: what can be said, and help that teaches it with examples."""

from __future__ import annotations

import argparse
import importlib.metadata

from gateway.gwctl import apply, iam, keys, projects, reports
from gateway.gwctl.parsing import add_output

HELP = """\
Manage the projects of the gateway, their API keys, who may do what, and see what was used.

A project has quotas and pays; its keys let clients in. Principals bear keys, and policies say
what they may do.
"""
EXAMPLES = """\
examples:
  gwctl project create search --requests-per-minute 600 --tokens-per-minute 500000
  gwctl project set prj_5GmXw3Yk1ZrQb8TnLd0VuE --concurrent-requests 50
  gwctl project archive prj_5GmXw3Yk1ZrQb8TnLd0VuE
  gwctl key create --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --name ci --expires 90d
  gwctl key list --project prj_5GmXw3Yk1ZrQb8TnLd0VuE
  gwctl key rotate 8fKq2LxZ0aPwT3mB --overlap 2d
  gwctl key revoke 8fKq2LxZ0aPwT3mB
  gwctl policy explain --key 8fKq2LxZ0aPwT3mB
  gwctl usage --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --since 2026-11-01 -o json
  gwctl costs --since 2026-11-01 -o csv
  gwctl ledger --project prj_5GmXw3Yk1ZrQb8TnLd0VuE --limit 20
  gwctl audit --project prj_5GmXw3Yk1ZrQb8TnLd0VuE
  gwctl audit-log list -n 20
  gwctl apply tenants.yaml --dry-run

`gwctl project set --help` and the like tell more.

environment:
  GATEWAY_ADMIN_URL     a gateway's admin API, such as https://gateway.example:9443
  GATEWAY_ADMIN_KEY     an admin key (gwa_...), or the key that the gateway was installed with
  GATEWAY_ADMIN_CA_FILE whom to trust, if not the authorities of this machine

  Without GATEWAY_ADMIN_URL the same is done without a gateway, over Redis:
  REDIS_URL             where the gateway keeps its state (default redis://127.0.0.1:6379/0)
  GATEWAY_KEY_PEPPERS   what key hashes are made with, as in the gateway: 1:<64 hex digits>;
                        only what makes keys needs it
  GATEWAY_PRICES_FILE   as in the gateway, for `gwctl costs`
"""


def parser() -> argparse.ArgumentParser:
    """Parses into a namespace with `command`, `output`, and what the command needs."""
    parser = argparse.ArgumentParser(
        prog="gwctl",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"gwctl {importlib.metadata.version('llm-gateway')}"
    )
    parser.add_argument(
        "--organization",
        metavar="ID",
        help="speak for this one (default: that of the key, or the default one)",
    )
    add_output(parser)
    # Here and not there: a subparser's default would override what was said before the verb.
    parser.set_defaults(output="table", rows_are_wrong=False, needs_api=True)
    nouns = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (projects, keys, iam, reports, apply):
        module.add(nouns)
    return parser
