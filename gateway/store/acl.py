"""The least that our user needs in Redis: these commands, on our keys. Pure.

It can load scripts, for each release brings its own, but a script can do no more than its user.
"""

from __future__ import annotations

# What Python sends, and what the scripts call; tests hold both against the source.
COMMANDS = (
    *("evalsha", "script|load"),
    *("del", "exists", "expire", "get", "set", "setnx", "time", "wait"),
    *("hdel", "hget", "hgetall", "hincrby", "hlen", "hmget", "hset", "hsetnx"),
    *("sadd", "smembers", "srem"),
    *("xadd", "xrange", "xrevrange"),
    *("zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrem", "zremrangebyscore", "zscore"),
)
# Of a connection, and of who watches over the server.
CONNECTION = ("client|setname", "info", "ping", "select")
# A client of a cluster has to find the nodes.
CLUSTER = ("asking", "cluster|shards", "cluster|slots", "command", "readonly")
KEYS = "~gw:*"


def acl_rules(*, cluster: bool = False) -> str:
    """Everything of a line of an ACL file but the name and the password."""
    allowed = (*COMMANDS, *CONNECTION, *(CLUSTER if cluster else ()))
    return " ".join(
        ("resetkeys", KEYS, "resetchannels", "-@all", *(f"+{each}" for each in allowed))
    )
