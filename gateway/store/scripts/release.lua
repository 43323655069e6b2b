--[[
  Undo a reserve whose answer nobody has heard, whether it happened or not.

  After a time-out the caller does not know if Redis has admitted the request, or
  still will: a frozen Redis runs what it had received when it thaws. So this
  takes back what is there, and leaves a mark that makes reserve.lua refuse the
  lease id for as long as such a late command can come.

  The tokens go back to the bucket. The request does not: it was one.

  KEYS[1]  gw:{project}:cfg        hash: the limits
  KEYS[2]  gw:{project}:q          hash: when the bucket `tokens` is at rest, us
  KEYS[3]  gw:{project}:lz         zset of lease ids
  KEYS[4]  gw:{project}:ld         hash: lease id -> "admitted at ms,day,tokens,kid"
  KEYS[5]  gw:{project}:rl:<id>    the mark

  ARGV[1]  lease id

  Returns {'released'} if there was a lease, {'absent'} if there was none.
]]
local lease_id = ARGV[1]

local MINUTE_US = 60 * 1000000
local MARK_S = 120

local function integer(number)
  return string.format('%.0f', number)
end

redis.call('SET', KEYS[5], '1', 'EX', MARK_S)
redis.call('ZREM', KEYS[3], lease_id)
local held = redis.call('HGET', KEYS[4], lease_id)
if not held then
  return { 'absent' }
end
redis.call('HDEL', KEYS[4], lease_id)

local tokens = tonumber(string.match(held, '^%d+,%d+,(%d+),'))
local max_tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens_per_minute'))
local rest_us = tonumber(redis.call('HGET', KEYS[2], 'tokens'))
if max_tokens and rest_us then
  -- A moment in the past is the same as now: whoever reads it takes the later one.
  rest_us = math.max(math.floor(rest_us - tokens * MINUTE_US / max_tokens), 0)
  redis.call('HSET', KEYS[2], 'tokens', integer(rest_us))
end
return { 'released' }
