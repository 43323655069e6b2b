{{/* How the internal Redis keeps books: docs/redis.md says why. */}}
{{- define "llm-gateway.redisConfiguration" -}}
port 6379
dir /data
save ""
appendonly {{ ternary "yes" "no" .Values.redis.internal.persistence.enabled }}
appendfsync everysec
maxmemory {{ .Values.redis.internal.maxMemory }}
maxmemory-policy noeviction
# Nobody is anybody without a password, but probes, who may say PING.
user default off
user probe on nopass resetkeys resetchannels -@all +ping
{{- end -}}

{{/* The rights of the gateways' user: what `gwctl redis-acl` prints. */}}
{{- define "llm-gateway.redisRights" -}}
resetkeys ~gw:* resetchannels -@all +evalsha +script|load +del +exists +expire +get +set +setnx +time +wait +hdel +hget +hgetall +hincrby +hlen +hmget +hset +hsetnx +sadd +smembers +srem +xadd +xrange +xrevrange +zadd +zcard +zcount +zrange +zrangebyscore +zrem +zremrangebyscore +zscore +client|setname +info +ping +select
{{- end -}}
