-- A request's place in its quotas, while it is served: eleven numbers, then "kid|model".
--
-- Admitted at (ms), its day and month, what is reserved of input, of output and of the budgets,
-- 1 if the key's concurrency counts it, and what would be charged if its gateway died now:
-- input, cached, output and reasoning tokens.
local LEASE = '>ddddddddddd'

local function read_lease(text)
  local lease = {}
  local rest
  lease.admitted_ms, lease.day, lease.month, lease.input, lease.output, lease.budget, lease.key_counts,
  lease.used_input, lease.used_cached, lease.used_output, lease.used_reasoning, rest =
    struct.unpack(LEASE, text)
  lease.bearer = string.sub(text, rest)
  return lease
end

local function pack_lease(lease)
  return struct.pack(LEASE, lease.admitted_ms, lease.day, lease.month, lease.input, lease.output,
    lease.budget, lease.key_counts, lease.used_input, lease.used_cached, lease.used_output,
    lease.used_reasoning) .. lease.bearer
end
