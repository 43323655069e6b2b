--[[
  Charge a response for what it has used, exactly once.

  At-least-once delivery plus the marker in KEYS[5] makes exactly-once: the
  marker is written in the same script as the charge, so a failover that loses
  one loses both, and saying it again converges.

  The token bucket is corrected by the difference between what was reserved and
  what was used. Without a lease nothing is given back: the lease has ended long
  ago and its tokens have drained out of the bucket. The charge stands.

  The day and the hour are those of the admission, told by the caller: a response
  that crosses midnight belongs to the day it began on, however late this arrives.

  KEYS[1]  gw:{project}:cfg          hash: the limits
  KEYS[2]  gw:{project}:q            hash: when the bucket `tokens` is at rest, us
  KEYS[3]  gw:{project}:lz           zset of lease ids
  KEYS[4]  gw:{project}:ld           hash of leases
  KEYS[5]  gw:{project}:dn:<hour>    set of response ids settled, by hour of admission
  KEYS[6]  gw:{project}:u:<day>      hash: "model|kid" -> "requests,input,cached,output,reasoning"
  KEYS[7]  gw:{project}:lg           stream: the ledger, an entry for each settled response

  ARGV[1]  response id = lease id
  ARGV[2]  kid
  ARGV[3]  model
  ARGV[4]  status of the response
  ARGV[5]  tokens reserved, input and output
  ARGV[6]  input tokens used
  ARGV[7]  cached tokens, of the input
  ARGV[8]  output tokens used
  ARGV[9]  reasoning tokens, of the output
  ARGV[10] day of admission, since 1970
  ARGV[11] admitted at, ms

  Returns {'settled'} when charged,
          {'lost'} when charged although there was no lease any more,
          {'duplicate'} when it had been charged before: nothing has changed.
]]
local response_id, kid, model, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local reserved = tonumber(ARGV[5])
local input, cached = tonumber(ARGV[6]), tonumber(ARGV[7])
local output, reasoning = tonumber(ARGV[8]), tonumber(ARGV[9])
local day, admitted_at_ms = ARGV[10], ARGV[11]

local MINUTE_US = 60 * 1000000
local MAX_DEBT_US = 60 * MINUTE_US
local MARKER_S = 26 * 60 * 60 -- longer than any gateway keeps a settlement to say it again
local USAGE_S = 400 * 24 * 60 * 60

local function integer(number)
  return string.format('%.0f', number)
end

if redis.call('SADD', KEYS[5], response_id) == 0 then
  return { 'duplicate' }
end
redis.call('EXPIRE', KEYS[5], MARKER_S)

local had_lease = redis.call('HDEL', KEYS[4], response_id) == 1
redis.call('ZREM', KEYS[3], response_id)

local difference = input + output - reserved
if not had_lease then
  difference = math.max(difference, 0)
end
local max_tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens_per_minute'))
if max_tokens and difference ~= 0 then
  local clock = redis.call('TIME')
  local now_us = clock[1] * 1000000 + clock[2]
  local at_rest_us = math.max(tonumber(redis.call('HGET', KEYS[2], 'tokens') or 0), now_us)
  local corrected_us = math.floor(at_rest_us + difference * MINUTE_US / max_tokens)
  -- A moment in the past is the same as now: whoever reads it takes the later one.
  redis.call('HSET', KEYS[2], 'tokens', integer(math.min(corrected_us, now_us + MAX_DEBT_US)))
end

local field = model .. '|' .. kid
local used = { 1, input, cached, output, reasoning }
local before = redis.call('HGET', KEYS[6], field)
if before then
  local position = 0
  for count in string.gmatch(before, '%d+') do
    position = position + 1
    used[position] = used[position] + tonumber(count)
  end
end
for position = 1, #used do
  used[position] = integer(used[position])
end
redis.call('HSET', KEYS[6], field, table.concat(used, ','))
redis.call('EXPIRE', KEYS[6], USAGE_S)

local verdict = had_lease and 'settled' or 'lost'
redis.call('XADD', KEYS[7], '*',
  'id', response_id, 'kid', kid, 'model', model, 'status', status, 'verdict', verdict,
  'input', integer(input), 'cached', integer(cached),
  'output', integer(output), 'reasoning', integer(reasoning),
  'day', day, 'created', admitted_at_ms)
return { verdict }
