--[[
  Admit one request against its project's quotas, or say which quota refuses it.

  Every quota is checked before any is debited: a refused request costs the
  project nothing. The clock is Redis's own, so gateways whose clocks differ
  agree on everything.

  The caller names the config version its grant was compiled under. Every change
  of a key or a project raises that version, so a revoked key stops working with
  the next request on every gateway, whatever is cached there.

  Requests and tokens are two leaky buckets (GCRA). A bucket is one number: when
  it will be at rest, in microseconds of Unix time. A cost moves that moment into
  the future, and it may lie BURST_US ahead. A cost larger than the burst is
  admitted when the bucket is at rest and puts it into debt: the long-run rate
  stays exact, and a large prompt is neither impossible nor an overdraft. Only
  what exceeds a whole minute's limit can never be admitted.

  A lease that nobody settles ends by itself and frees its concurrency. Its
  tokens are not given back: they drain out of the bucket as if they were used.

  Said again with the same lease id, it answers the same and debits nothing.
  Without a lease id nothing is asked for, only how the buckets stand.

  KEYS[1]  gw:{project}:cfg   hash: ver and the limits; '' is no limit
  KEYS[2]  gw:{project}:q     hash: when the buckets `requests` and `tokens` are at rest, us
  KEYS[3]  gw:{project}:lz    zset of lease ids, score = lease end, ms
  KEYS[4]  gw:{project}:ld    hash: lease id -> "admitted at ms,day,tokens,kid"
  KEYS[5]  gw:{project}:rl:<id>  there if the lease was released before it was taken

  ARGV[1]  lease id, or ''
  ARGV[2]  config version of the caller's grant
  ARGV[3]  kid
  ARGV[4]  tokens of the input
  ARGV[5]  tokens to reserve for the output
  ARGV[6]  lease length, ms

  Returns {'admitted', admitted at ms, day since 1970, BUCKETS} when admitted,
          {'refused', quota, retry after ms, BUCKETS} when a quota is exhausted,
          {'too_large', quota, 0, BUCKETS} when no retry can help,
          {'told', BUCKETS} without a lease id,
          {'released'} when the caller has given up in the meantime,
          {'stale'} when the config has another version, or there is no such project.
  BUCKETS are six numbers: limit, remaining and reset ms of requests, then of tokens;
  a limit of -1 is none.
]]
local lease_id, config_version, kid = ARGV[1], ARGV[2], ARGV[3]
local tokens, lease_ms = tonumber(ARGV[4]) + tonumber(ARGV[5]), tonumber(ARGV[6])

local MINUTE_US = 60 * 1000000
local DAY_US = 24 * 60 * MINUTE_US
local BURST_US = 15 * 1000000 -- a whole minute's burst lets 190 % through in the first minute
local MAX_DEBT_US = 60 * MINUTE_US -- a clock that was ahead, then failed over, heals in this time
local CONCURRENCY_RETRY_MS = 1000 -- nobody knows when a response ends
local SWEPT_A_CALL = 16

local config = redis.call('HMGET', KEYS[1],
  'ver', 'requests_per_minute', 'tokens_per_minute', 'concurrent_requests')
if lease_id ~= '' and config[1] ~= config_version then
  return { 'stale' }
end
local max_requests, max_tokens = tonumber(config[2]), tonumber(config[3])
local max_concurrent = tonumber(config[4])

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now_us / 1000)

local function integer(number)
  return string.format('%.0f', number)
end

local expired = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', integer(now_ms), 'LIMIT', 0, SWEPT_A_CALL)
if #expired > 0 then
  redis.call('ZREM', KEYS[3], unpack(expired))
  redis.call('HDEL', KEYS[4], unpack(expired))
end

-- A bucket that is at rest, or has no limit, is the same as none at all.
local function open_bucket(rest_us, limit)
  local backlog_us = math.max((tonumber(rest_us) or 0) - now_us, 0)
  return { limit = limit, backlog_us = math.min(backlog_us, MAX_DEBT_US) }
end

-- How long until `cost` is admitted: 0 = now.
local function wait_us(bucket, cost)
  if not bucket.limit then
    return 0
  end
  local room_us = math.min(cost * MINUTE_US / bucket.limit, BURST_US)
  return math.max(bucket.backlog_us + room_us - BURST_US, 0)
end

local function debit(bucket, cost)
  if bucket.limit then
    -- Rounded down, or four costs of a quarter could miss the burst by a microsecond.
    bucket.backlog_us = math.floor(bucket.backlog_us + cost * MINUTE_US / bucket.limit)
  end
end

local function rest_us(bucket)
  return integer(now_us + bucket.backlog_us)
end

-- Appends limit, remaining, reset ms. What is left of the burst, not of the
-- minute: a client that sends `remaining` at once must not be refused.
local function tell(reply, bucket)
  local remaining = 0
  if bucket.limit then
    remaining = math.floor((BURST_US - bucket.backlog_us) * bucket.limit / MINUTE_US)
    remaining = math.max(remaining, bucket.backlog_us == 0 and 1 or 0)
  end
  reply[#reply + 1] = bucket.limit or -1
  reply[#reply + 1] = remaining
  reply[#reply + 1] = bucket.limit and math.ceil(bucket.backlog_us / 1000) or 0
end

local state = redis.call('HMGET', KEYS[2], 'requests', 'tokens')
local request_bucket = open_bucket(state[1], max_requests)
local token_bucket = open_bucket(state[2], max_tokens)

local function answer(word, ...)
  local reply = { word, ... }
  tell(reply, request_bucket)
  tell(reply, token_bucket)
  return reply
end

if lease_id == '' then
  return answer('told')
end

if redis.call('EXISTS', KEYS[5]) == 1 then
  return { 'released' }
end

local held = redis.call('HGET', KEYS[4], lease_id)
if held then
  local admitted_at_ms, held_day = string.match(held, '^(%d+),(%d+),')
  return answer('admitted', tonumber(admitted_at_ms), tonumber(held_day))
end

if max_tokens and tokens > max_tokens then
  return answer('too_large', 'tokens_per_minute', 0)
end

-- The longest wait is told: after a shorter one the next quota would refuse.
local quota, retry_after_ms = nil, 0
local function refuse(which, wait_ms)
  if wait_ms > retry_after_ms then
    quota, retry_after_ms = which, wait_ms
  end
end
refuse('requests_per_minute', math.ceil(wait_us(request_bucket, 1) / 1000))
refuse('tokens_per_minute', math.ceil(wait_us(token_bucket, tokens) / 1000))
if max_concurrent and redis.call('ZCOUNT', KEYS[3], '(' .. integer(now_ms), '+inf') >= max_concurrent then
  refuse('concurrent_requests', CONCURRENCY_RETRY_MS)
end
if quota then
  return answer('refused', quota, retry_after_ms)
end

debit(request_bucket, 1)
debit(token_bucket, tokens)
local day = math.floor(now_us / DAY_US)
redis.call('HSET', KEYS[2], 'requests', rest_us(request_bucket), 'tokens', rest_us(token_bucket))
redis.call('ZADD', KEYS[3], integer(now_ms + lease_ms), lease_id)
redis.call('HSET', KEYS[4], lease_id,
  table.concat({ integer(now_ms), integer(day), integer(tokens), kid }, ','))
return answer('admitted', now_ms, day)
