--[[
  Charge a response for what it has used, exactly once.

  At-least-once delivery plus the marker in KEYS[9] makes exactly-once: the
  marker is written in the same script as the charge, so a failover that loses
  one loses both, and saying it again converges.

  If the lease had ended before its owner spoke, because its gateway slept for
  longer than that, reap.lua has charged what it knew of: the owner pays the
  difference. Without a trace of the lease the store has forgotten it, and the
  charge stands; nothing is given back to buckets then, for its tokens have
  drained out of them.

  The day, the month and the hour are those of the admission, told by the caller: a
  response that crosses midnight belongs to the day it began on, however late this arrives.

  KEYS[1]  gw:{project}:cfg          hash: the limits
  KEYS[2]  gw:{project}:q            hash: how project and keys stand
  KEYS[3]  gw:{project}:lz           zset of lease ids
  KEYS[4]  gw:{project}:ld           hash of leases
  KEYS[5]  gw:{project}:ot:<id>      what the reaper charged
  KEYS[6]  gw:{project}:lz:<kid>     zset of the key's leases
  KEYS[7]  gw:{project}:u:<day>      hash: "model|kid" -> requests, input, cached, output, reasoning; packed
  KEYS[8]  gw:{project}:lg           stream: the ledger, an entry for each charge
  KEYS[9]  gw:{project}:dn:<hour>    set of response ids settled, by hour of admission

  ARGV[1]  response id = lease id
  ARGV[2]  kid
  ARGV[3]  model
  ARGV[4]  status of the response
  ARGV[5]  input tokens used
  ARGV[6]  cached tokens, of the input
  ARGV[7]  output tokens used
  ARGV[8]  reasoning tokens, of the output
  ARGV[9]  day of admission, since 1970
  ARGV[10] month of admission, YYYYMM
  ARGV[11] admitted at, ms
  ARGV[12] input tokens reserved
  ARGV[13] output tokens reserved
  ARGV[14] tier
  ARGV[15] virtual time that it was served: the project's in this tier moves on by it

  Returns {'settled'} when charged,
          {'adjusted'} when the difference to what the reaper charged was charged,
          {'lost'} when charged although nothing was known of a lease,
          {'duplicate'} when it had been charged before: nothing has changed.
]]
--#include charge
local response_id, kid, model, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local input, cached = tonumber(ARGV[5]), tonumber(ARGV[6])
local output, reasoning = tonumber(ARGV[7]), tonumber(ARGV[8])
local day, month, admitted_ms = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])

local MARKER_S = 26 * 60 * 60 -- longer than any gateway keeps a settlement to say it again

if redis.call('SADD', KEYS[9], response_id) == 0 then
  return { 'duplicate' }
end
redis.call('EXPIRE', KEYS[9], MARKER_S)

local requests = 1
local input_excess, output_excess
local held = redis.call('HGET', KEYS[4], response_id)
local lease = held and read_lease(held)
local verdict = lease and 'settled' or 'lost'
if lease then
  input_excess, output_excess = input - lease.input, output - lease.output
else
  local reaped = redis.call('GET', KEYS[5])
  if reaped and reaped ~= '' then
    verdict = 'adjusted'
    local before = { struct.unpack(USAGE, reaped) }
    requests = requests - before[1]
    input, cached = input - before[2], cached - before[3]
    output, reasoning = output - before[4], reasoning - before[5]
    input_excess, output_excess = input, output
    redis.call('DEL', KEYS[5])
  else
    input_excess = math.max(input - tonumber(ARGV[12]), 0)
    output_excess = math.max(output - tonumber(ARGV[13]), 0)
  end
end
end_lease(response_id, lease, kid, day, month, input, output, input_excess, output_excess)
redis.call('HINCRBY', KEYS[2], 'vt:' .. ARGV[14], ARGV[15])
write_books(response_id, kid, model, status, verdict, day, admitted_ms,
  { requests, input, cached, output, reasoning })
return { verdict }
