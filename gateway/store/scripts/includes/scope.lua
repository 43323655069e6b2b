-- How a project or a key stands: ten numbers, packed (store/scope_state.py reads them).
--
-- Four buckets (GCRA), each told by when it is at rest, in microseconds of Unix time: a moment in
-- the past is the same as now. Then the day and the month it is in, and what of their budgets is
-- used, and reserved. A new day begins when a request of that day comes, never backwards: a clock
-- that is set back must not bring a spent budget back.
local SCOPE = '>dddddddddd'
local MAX_DEBT_US = 60 * MINUTE_US -- a clock that was ahead, then failed over, heals in this time

local function roll_scope(scope, day, month)
  if scope.day < day then
    scope.day, scope.day_used, scope.day_reserved = day, 0, 0
  end
  if scope.month < month then
    scope.month, scope.month_used, scope.month_reserved = month, 0, 0
  end
end

local function read_scope(text, day, month)
  local scope = {}
  if text then
    scope.requests, scope.tokens, scope.input, scope.output,
    scope.day, scope.day_used, scope.day_reserved,
    scope.month, scope.month_used, scope.month_reserved = struct.unpack(SCOPE, text)
  else
    scope.requests, scope.tokens, scope.input, scope.output = 0, 0, 0, 0
    scope.day, scope.month = 0, 0
  end
  roll_scope(scope, day, month)
  return scope
end

local function pack_scope(scope)
  return struct.pack(SCOPE, scope.requests, scope.tokens, scope.input, scope.output,
    scope.day, scope.day_used, scope.day_reserved,
    scope.month, scope.month_used, scope.month_reserved)
end

-- Puts `count` more (or, below 0, fewer) into a bucket than it was debited. Returns when it rests.
-- Rounded down, or four costs of a quarter could miss the burst by a microsecond.
local function corrected(rest_us, limit, count)
  if not limit or count == 0 then
    return rest_us
  end
  local corrected_us = math.floor(math.max(rest_us, now_us) + count * MINUTE_US / limit)
  return math.min(math.max(corrected_us, 0), now_us + MAX_DEBT_US)
end

-- The same for the three buckets of tokens.
local function correct_tokens(scope, limits, input, output)
  scope.tokens = corrected(scope.tokens, limits.tokens, input + output)
  scope.input = corrected(scope.input, limits.input, input)
  scope.output = corrected(scope.output, limits.output, output)
end
