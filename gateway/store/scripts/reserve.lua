--[[
  Admit one request against the quotas of its project and of its key, or say which refuses it.

  Every quota is checked before any is debited: a refused request costs nothing.

  The caller names the config version its grant was compiled under. Every change
  of a key or a project raises that version, so a revoked key stops working with
  the next request on every gateway, whatever is cached there.

  Rates are leaky buckets (GCRA). A bucket is one number: when it will be at rest.
  A cost moves that moment into the future, and it may lie BURST_US ahead. A cost
  larger than the burst is admitted when the bucket is at rest and puts it into
  debt: the long-run rate stays exact, and a large prompt is neither impossible nor
  an overdraft. Only what exceeds a whole minute's limit can never be admitted.
  Rates are debited by an estimate of the output, which settling makes exact.

  Budgets of a day and a month reserve the worst case when they are hard, so they
  are never overshot: used + reserved + this <= budget. A caller that has not said
  how long its answer may be is cut to what is left. A soft budget refuses once
  what is used, and this request's estimate, exceed it. The day and the month are
  those of the admission, for everything that follows.

  What a quota in shadow mode would have refused is admitted, and told.

  The caller names the tier of the request. How far the project has been served in each is
  told, for gateways to be fair by; one with nothing that waits is lifted to ARGV[11],
  so that idleness earns no credit.

  Said again with the same lease id, it answers the same and debits nothing.
  Without a lease id nothing is asked for, only how the buckets stand.

  KEYS[1]  gw:{project}:cfg       hash: ver, limits, and k:<kid>, the limits of a key
  KEYS[2]  gw:{project}:q         hash: how the project (field p) and its keys (field kid) stand
  KEYS[3]  gw:{project}:lz        zset of lease ids, score = lease end, ms
  KEYS[4]  gw:{project}:ld        hash of leases
  KEYS[5]  gw:{project}:ot:<id>   there if the lease has ended without its owner
  KEYS[6]  gw:{project}:lz:<kid>  zset of the key's leases, while its concurrency is limited

  ARGV[1]  lease id, or ''
  ARGV[2]  config version of the caller's grant; '' without a lease id: any
  ARGV[3]  kid
  ARGV[4]  model
  ARGV[5]  tokens of the input
  ARGV[6]  tokens to reserve for the output
  ARGV[7]  tokens the output may have at most
  ARGV[8]  1 if a hard budget may cut that
  ARGV[9]  lease length, ms
  ARGV[10] tier
  ARGV[11] virtual time that the project has at least in this tier

  Returns {'admitted', admitted at ms, day since 1970, month (YYYYMM), output tokens at most,
            virtual time, BUCKETS, SHADOWED}
          {'refused', quota, scope, retry after ms, BUCKETS} when a quota is exhausted,
          {'too_large', quota, scope, 0, BUCKETS} when no retry can help,
          {'told', BUCKETS} without a lease id,
          {'released'} when the lease has ended without its owner in the meantime,
          {'stale'} when the config has another version, or there is no such project.
  A scope is 'project' or 'key'. BUCKETS are six numbers: limit, remaining and reset ms of requests,
  then of tokens, each of the bucket with least left; a limit of -1 is none. SHADOWED are words,
  'scope:quota', of what would have refused.
]]
--#include clock
--#include months
--#include limits
--#include scope
--#include lease
local lease_id, config_version, kid, model = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local input, output, max_output = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local may_cut, lease_ms = ARGV[8] == '1', tonumber(ARGV[9])
local clock_field, floor = 'vt:' .. ARGV[10], tonumber(ARGV[11])

local BURST_US = 15 * 1000000 -- a whole minute's burst lets 190 % through in the first minute
local CONCURRENCY_RETRY_MS = 1000 -- nobody knows when a response ends

local config = redis.call('HMGET', KEYS[1], 'ver', 'limits', 'k:' .. kid)
if (lease_id ~= '' or config_version ~= '') and config[1] ~= config_version then
  return { 'stale' }
end

local state = redis.call('HMGET', KEYS[2], 'p', kid, clock_field)
local today = math.floor(now_us / DAY_US)
local project = read_scope(state[1], today, 0)
-- Later than today only if the clock was set back: then the day it had been counts on.
local day = project.day
local month = month_of(day)
roll_scope(project, day, month)
local key = read_scope(state[2], day, month)
project.name, project.limits = 'project', read_limits(config[2])
key.name, key.limits = 'key', read_limits(config[3])
local scopes = { project, key }

local function backlog_us(rest_us)
  return math.min(math.max(rest_us - now_us, 0), MAX_DEBT_US)
end

-- Of what was told so far and another bucket, the one with less left: limit, remaining, backlog.
-- What is left of the burst, not of the minute: a client that sends it at once must not be refused.
local function tighter(told_limit, told_remaining, told_backlog, limit, rest_us)
  if limit then
    local backlog = backlog_us(rest_us)
    local remaining = math.floor((BURST_US - backlog) * limit / MINUTE_US)
    if remaining < 1 then
      remaining = backlog == 0 and 1 or 0
    end
    if told_limit < 0 or remaining < told_remaining then
      return limit, remaining, backlog
    end
  end
  return told_limit, told_remaining, told_backlog
end

-- Appends BUCKETS to a reply.
local function answer(reply)
  local p, k = project.limits, key.limits
  local limit, remaining, backlog = tighter(-1, 0, 0, p.requests, project.requests)
  limit, remaining, backlog = tighter(limit, remaining, backlog, k.requests, key.requests)
  local size = #reply
  reply[size + 1], reply[size + 2], reply[size + 3] = limit, remaining, math.ceil(backlog / 1000)
  limit, remaining, backlog = tighter(-1, 0, 0, p.tokens, project.tokens)
  limit, remaining, backlog = tighter(limit, remaining, backlog, p.input, project.input)
  limit, remaining, backlog = tighter(limit, remaining, backlog, p.output, project.output)
  limit, remaining, backlog = tighter(limit, remaining, backlog, k.tokens, key.tokens)
  limit, remaining, backlog = tighter(limit, remaining, backlog, k.input, key.input)
  limit, remaining, backlog = tighter(limit, remaining, backlog, k.output, key.output)
  reply[size + 4], reply[size + 5], reply[size + 6] = limit, remaining, math.ceil(backlog / 1000)
  return reply
end

if lease_id == '' then
  return answer({ 'told' })
end
if redis.call('EXISTS', KEYS[5]) == 1 then
  return { 'released' }
end

local virtual_time = math.max(tonumber(state[3] or 0), floor)

local held = redis.call('HGET', KEYS[4], lease_id)
if held then
  local lease = read_lease(held)
  return answer({
    'admitted', lease.admitted_ms, lease.day, lease.month, lease.budget - lease.input, virtual_time,
  })
end

-- Budgets may cut what is asked for, so they come first. What is left of the hard ones:
local left = math.huge
for position = 1, 2 do
  local scope = scopes[position]
  local limits = scope.limits
  if limits.daily and limits.daily_mode == 'hard' then
    left = math.min(left, limits.daily - scope.day_used - scope.day_reserved)
  end
  if limits.monthly and limits.monthly_mode == 'hard' then
    left = math.min(left, limits.monthly - scope.month_used - scope.month_reserved)
  end
end
if may_cut and left > input then
  max_output = math.min(max_output, left - input)
end
output = math.min(output, max_output)
local estimate, worst = input + output, input + max_output

-- The longest wait is told: after a shorter one the next quota would refuse. What no wait can help,
-- before all.
local word, quota, which, retry_after_ms = nil, nil, nil, -1
local shadowed = {}

local function refuse(scope, mode, quota_name, wait_ms, is_too_large)
  if mode == 'shadow' then
    shadowed[#shadowed + 1] = scope.name .. ':' .. quota_name
  elseif is_too_large then
    if word ~= 'too_large' then
      word, quota, which, retry_after_ms = 'too_large', quota_name, scope.name, 0
    end
  elseif word ~= 'too_large' and wait_ms > retry_after_ms then
    word, quota, which, retry_after_ms = 'refused', quota_name, scope.name, wait_ms
  end
end

local function check_rate(scope, quota_name, limit, rest_us, cost)
  if not limit then
    return
  end
  local cost_us = cost * MINUTE_US / limit
  if cost_us > MINUTE_US then
    return refuse(scope, scope.limits.rate_mode, quota_name, 0, true)
  end
  local wait_us = backlog_us(rest_us) + math.min(cost_us, BURST_US) - BURST_US
  if wait_us > 0 then
    refuse(scope, scope.limits.rate_mode, quota_name, math.ceil(wait_us / 1000), false)
  end
end

local function check_budget(scope, quota_name, budget, mode, used, reserved, period_ends_on)
  if not budget then
    return
  end
  local cost = worst
  if mode == 'soft' then
    cost, reserved = estimate, 0
  end
  if used + reserved + cost > budget then
    local wait_ms = math.ceil((period_ends_on(day) * DAY_US - now_us) / 1000)
    refuse(scope, mode, quota_name, wait_ms, cost > budget)
  end
end

if project.limits.concurrent then
  project.live = redis.call('ZCOUNT', KEYS[3], '(' .. integer(now_ms), '+inf')
end
if key.limits.concurrent then
  key.live = redis.call('ZCOUNT', KEYS[6], '(' .. integer(now_ms), '+inf')
end

for position = 1, 2 do
  local scope = scopes[position]
  local limits = scope.limits
  check_rate(scope, 'requests_per_minute', limits.requests, scope.requests, 1)
  check_rate(scope, 'tokens_per_minute', limits.tokens, scope.tokens, estimate)
  check_rate(scope, 'input_tokens_per_minute', limits.input, scope.input, input)
  check_rate(scope, 'output_tokens_per_minute', limits.output, scope.output, output)
  if limits.concurrent and scope.live >= limits.concurrent then
    refuse(scope, limits.rate_mode, 'concurrent_requests', CONCURRENCY_RETRY_MS, false)
  end
  check_budget(scope, 'daily_tokens', limits.daily, limits.daily_mode,
    scope.day_used, scope.day_reserved, next_day)
  check_budget(scope, 'monthly_tokens', limits.monthly, limits.monthly_mode,
    scope.month_used, scope.month_reserved, next_month_begins)
end
if word then
  return answer({ word, quota, which, retry_after_ms })
end

-- In shadow mode a bucket is never in debt: what it would have refused would have cost nothing.
local function debited(scope, rest_us, limit, cost)
  if not limit then
    return rest_us
  end
  local backlog = backlog_us(rest_us) + cost * MINUTE_US / limit
  if scope.limits.rate_mode == 'shadow' then
    backlog = math.min(backlog, BURST_US)
  end
  -- Rounded down, or four costs of a quarter could miss the burst by a microsecond.
  return math.floor(now_us + backlog)
end

local packed = {}
for position = 1, 2 do
  local scope = scopes[position]
  local limits = scope.limits
  scope.requests = debited(scope, scope.requests, limits.requests, 1)
  scope.tokens = debited(scope, scope.tokens, limits.tokens, estimate)
  scope.input = debited(scope, scope.input, limits.input, input)
  scope.output = debited(scope, scope.output, limits.output, output)
  scope.day_reserved = scope.day_reserved + worst
  scope.month_reserved = scope.month_reserved + worst
  packed[position] = pack_scope(scope)
end
local lease = {
  admitted_ms = now_ms, day = day, month = month, input = input, output = output, budget = worst,
  key_counts = key.limits.concurrent and 1 or 0,
  used_input = 0, used_cached = 0, used_output = 0, used_reasoning = 0, bearer = kid .. '|' .. model,
}
local lease_end = integer(now_ms + lease_ms)
redis.call('HSET', KEYS[2], 'p', packed[1], kid, packed[2], clock_field, integer(virtual_time))
redis.call('HSET', KEYS[4], lease_id, pack_lease(lease))
redis.call('ZADD', KEYS[3], lease_end, lease_id)
if key.limits.concurrent then
  redis.call('ZADD', KEYS[6], lease_end, lease_id)
end
local reply = answer({ 'admitted', now_ms, day, month, max_output, virtual_time })
for _, words in ipairs(shadowed) do
  reply[#reply + 1] = words
end
return reply
