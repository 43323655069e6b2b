# The users with their passwords, in memory only: on a command line everybody would see them.
set -eu
umask 077
case $REDIS_PASSWORD in
*[!A-Za-z0-9]* | "") echo "the password of Redis must consist of letters and digits" >&2; exit 1 ;;
esac
printf 'user gateway on >%s %s\n' "$REDIS_PASSWORD" "$REDIS_RIGHTS" >/run/redis/user.conf
unset REDIS_PASSWORD
# For people who may run programs in this pod, and so may do anything with its data: operator.sh.
operator=$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')
printf '%s' "$operator" >/run/redis/operator
printf 'user operator on >%s allkeys allchannels allcommands\n' "$operator" >>/run/redis/user.conf
unset operator
exec valkey-server /etc/redis/redis.conf --include /run/redis/user.conf
