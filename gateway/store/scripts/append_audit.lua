--[[
  Append an entry to the audit log, if the log still ends where its writer believes.

  Each entry carries the hash of the one before it, and SHA-256 is not to be had here: the
  writer computes it, and this makes sure that nobody has written in between. So two
  gateways that write at once cannot fork the chain.

  KEYS[1]  gw:audit  stream

  ARGV[1]  id of the entry that is believed to be the last, '' for none
  ARGV[2]  the entry, JSON
  ARGV[3]  its hash, hexadecimal

  Returns {'appended', id of the new entry},
          {'moved'} when the log ends elsewhere: nothing has changed.
]]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if (last and last[1] or '') ~= ARGV[1] then
  return { 'moved' }
end
return { 'appended', redis.call('XADD', KEYS[1], '*', 'e', ARGV[2], 'h', ARGV[3]) }
