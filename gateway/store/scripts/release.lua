--[[
  Undo a reserve whose answer nobody has heard, whether it happened or not.

  After a time-out the caller does not know if Redis has admitted the request, or
  still will: a frozen Redis runs what it had received when it thaws. So this
  takes back what is there, and leaves a mark that makes reserve.lua refuse the
  lease id for as long as such a late command can come.

  Tokens go back to buckets and budgets. The request does not: it was one.

  KEYS[1]  gw:{project}:cfg       hash: the limits
  KEYS[2]  gw:{project}:q         hash: how project and keys stand
  KEYS[3]  gw:{project}:lz        zset of lease ids
  KEYS[4]  gw:{project}:ld        hash of leases
  KEYS[5]  gw:{project}:ot:<id>   the mark
  KEYS[6]  gw:{project}:lz:<kid>  zset of the key's leases

  ARGV[1]  lease id
  ARGV[2]  kid

  Returns {'released'} if there was a lease, {'absent'} if there was none.
]]
--#include end_lease
local lease_id, kid = ARGV[1], ARGV[2]

local MARK_S = 120

redis.call('SET', KEYS[5], '', 'NX', 'EX', MARK_S)
local held = redis.call('HGET', KEYS[4], lease_id)
if not held then
  return { 'absent' }
end
local lease = read_lease(held)
end_lease(lease_id, lease, kid, lease.day, lease.month, 0, 0, -lease.input, -lease.output)
return { 'released' }
