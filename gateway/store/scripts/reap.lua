--[[
  Settle a lease that nobody has renewed, with what its gateway told last.

  Whoever held it is dead, or slept for longer than the lease. What it used by its
  last renewal is charged, never more; a response that had not produced a token is
  free. What was charged is kept for an owner that comes back: settle.lua charges
  the difference, and reserve.lua does not make the lease again.

  Any number of gateways may reap at once: the first one finds it.

  KEYS[1]  gw:{project}:cfg          hash: the limits
  KEYS[2]  gw:{project}:q            hash: how project and keys stand
  KEYS[3]  gw:{project}:lz           zset of lease ids
  KEYS[4]  gw:{project}:ld           hash of leases
  KEYS[5]  gw:{project}:ot:<id>      what is charged here
  KEYS[6]  gw:{project}:lz:<kid>     zset of the key's leases
  KEYS[7]  gw:{project}:u:<day>      hash of usage, of the lease's day
  KEYS[8]  gw:{project}:lg           stream: the ledger

  ARGV[1]  lease id
  ARGV[2]  kid
  ARGV[3]  model

  Returns {'reaped', requests, input, cached, output, reasoning}: what was charged,
          {'alive'} when it was renewed in the meantime,
          {'gone'} when somebody has settled or reaped it.
]]
--#include charge
local lease_id, kid, model = ARGV[1], ARGV[2], ARGV[3]

local TOMBSTONE_S = 7 * 24 * 60 * 60

local held = redis.call('HGET', KEYS[4], lease_id)
if not held then
  redis.call('ZREM', KEYS[3], lease_id)
  return { 'gone' }
end
local ends_at_ms = tonumber(redis.call('ZSCORE', KEYS[3], lease_id) or 0)
if ends_at_ms > now_ms then
  return { 'alive' }
end
local lease = read_lease(held)
local input, output = lease.used_input, lease.used_output
local amounts = { output > 0 and 1 or 0, input, lease.used_cached, output, lease.used_reasoning }
if output == 0 then
  input, amounts = 0, { 0, 0, 0, 0, 0 }
end
redis.call('SET', KEYS[5], struct.pack(USAGE, unpack(amounts)), 'EX', TOMBSTONE_S)
end_lease(lease_id, lease, kid, lease.day, lease.month, input, output,
  input - lease.input, output - lease.output)
write_books(lease_id, kid, model, 'orphaned', 'orphan', lease.day, lease.admitted_ms, amounts)
return { 'reaped', unpack(amounts) }
