--#include end_lease
-- Writes what a response has used into the books: the day's counters and the ledger, whose sums they are.
local USAGE = '>ddddd'
local USAGE_S = 400 * 24 * 60 * 60

-- KEYS[7] usage of the day, KEYS[8] ledger. `amounts`: requests, input, cached, output, reasoning.
local function write_books(response_id, kid, model, status, verdict, day, admitted_ms, amounts)
  local field = model .. '|' .. kid
  local before = redis.call('HGET', KEYS[7], field)
  local requests, input, cached, output, reasoning = 0, 0, 0, 0, 0
  if before then
    requests, input, cached, output, reasoning = struct.unpack(USAGE, before)
  end
  redis.call('HSET', KEYS[7], field, struct.pack(USAGE, requests + amounts[1], input + amounts[2],
    cached + amounts[3], output + amounts[4], reasoning + amounts[5]))
  if not before then
    redis.call('EXPIRE', KEYS[7], USAGE_S)
  end
  redis.call('XADD', KEYS[8], '*', 'e', table.concat({
    response_id, kid, model, status, verdict, integer(amounts[1]), integer(amounts[2]),
    integer(amounts[3]), integer(amounts[4]), integer(amounts[5]), integer(day), integer(admitted_ms),
  }, ','))
end
