# valkey-cli as the user who may do everything, for people: kubectl exec POD -- sh /etc/redis/operator.sh INFO
set -eu
REDISCLI_AUTH=$(cat /run/redis/operator)
export REDISCLI_AUTH
exec valkey-cli --no-auth-warning --user operator "$@"
