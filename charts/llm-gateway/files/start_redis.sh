# The gateways' user with its password, in memory only: on a command line everybody would see it.
set -eu
umask 077
case $REDIS_PASSWORD in
*[!A-Za-z0-9]* | "") echo "the password of Redis must consist of letters and digits" >&2; exit 1 ;;
esac
printf 'user gateway on >%s %s\n' "$REDIS_PASSWORD" "$REDIS_RIGHTS" >/run/redis/user.conf
unset REDIS_PASSWORD
exec valkey-server /etc/redis/redis.conf --include /run/redis/user.conf
