#!/bin/sh
# Run a command that Ctrl-C ends without a word: Python, and pip, would answer with a traceback.
#   quietly.sh COMMAND...
# A Python that starts with SIGINT ignored leaves it so; SIGTERM ends it in silence.
(trap '' INT; exec "$@") &
child=$!
trap 'kill "$child" 2>/dev/null; wait "$child" 2>/dev/null; exit 130' INT TERM HUP
wait "$child"
