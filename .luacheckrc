-- Redis runs Lua 5.1, and gives scripts these.
std = "lua51"
read_globals = { "redis", "KEYS", "ARGV", "cjson", "struct", "bit" }
max_line_length = 110
