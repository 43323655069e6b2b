-- What a project or a key may use, from its text in gw:{project}:cfg (quota/limits.py writes it):
-- requests, tokens, input and output a minute, concurrent requests, tokens a day and a month,
-- and what happens beyond them: of the rates, of the day, of the month. An empty number is no limit.
local LIMITS = '^(%d*),(%d*),(%d*),(%d*),(%d*),(%d*),(%d*),(%l+),(%l+),(%l+)$'
local NO_LIMITS = {}

local function read_limits(text)
  if not text or text == '' then
    return NO_LIMITS
  end
  local requests, tokens, input, output, concurrent, daily, monthly, rate_mode, daily_mode, monthly_mode =
    string.match(text, LIMITS)
  if not requests then
    error('these are no limits: ' .. text) -- rather than none at all
  end
  return {
    requests = tonumber(requests), tokens = tonumber(tokens),
    input = tonumber(input), output = tonumber(output),
    concurrent = tonumber(concurrent), daily = tonumber(daily), monthly = tonumber(monthly),
    rate_mode = rate_mode, daily_mode = daily_mode, monthly_mode = monthly_mode,
  }
end
