-- Redis runs Lua 5.1, and gives scripts these.
std = "lua51"
read_globals = { "redis", "KEYS", "ARGV", "cjson", "struct", "bit" }
max_line_length = 115
-- Scripts are checked with what they include, and not every script needs all of that.
ignore = { "211" }
