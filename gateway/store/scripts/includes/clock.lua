-- The only clock: Redis's own, so gateways whose clocks differ agree on everything.
local MINUTE_US = 60 * 1000000
local DAY_US = 24 * 60 * MINUTE_US

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now_us / 1000)

-- tostring() would print 1.7e15 with 14 digits.
local function integer(number)
  return string.format('%.0f', number)
end
