--#include clock
--#include limits
--#include scope
--#include lease
-- Ends a lease and corrects quotas and budgets by what was used of what it held.
-- KEYS[1..4] and KEYS[6] are those of settle.lua; `lease` is nil if it had ended before.
-- `input` and `output` go to the budgets; the excesses, over what was reserved, to the buckets.
local function end_lease(lease_id, lease, kid, day, month, input, output, input_excess, output_excess)
  if lease then
    redis.call('HDEL', KEYS[4], lease_id)
    redis.call('ZREM', KEYS[3], lease_id)
    if lease.key_counts == 1 then
      redis.call('ZREM', KEYS[6], lease_id)
    end
  end
  local config = redis.call('HMGET', KEYS[1], 'limits', 'k:' .. kid)
  local state = redis.call('HMGET', KEYS[2], 'p', kid)
  local held = lease and lease.budget or 0
  local packed = {}
  for each = 1, 2 do
    local scope = read_scope(state[each], day, month)
    correct_tokens(scope, read_limits(config[each]), input_excess, output_excess)
    -- The day and the month are those of the admission; of one that is over nothing is counted any more.
    if scope.day == day then
      scope.day_used = scope.day_used + input + output
      scope.day_reserved = math.max(scope.day_reserved - held, 0)
    end
    if scope.month == month then
      scope.month_used = scope.month_used + input + output
      scope.month_reserved = math.max(scope.month_reserved - held, 0)
    end
    packed[each] = pack_scope(scope)
  end
  redis.call('HSET', KEYS[2], 'p', packed[1], kid, packed[2])
end
