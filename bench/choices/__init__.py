"""What was chosen beside what was not: ASGI server, JSON, client of Redis. `make bench-choices`.

servers    the same application on three servers: CPU of a chunk, who hears a client leave, who waits
           for a slow one
app        that application; run by them
libraries  JSON and clients of Redis, in this process

Runs in an environment of its own, .venv-choices: nothing of the product is imported.
"""
