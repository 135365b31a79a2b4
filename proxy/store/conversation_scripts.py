"""The scripts for conversations in Redis, each atomic and of bounded length. The keys of one have its scope's hash tag.

c:ID      a conversation: metadata (`m`), when it was made (`b`), how many turns it has (`n`), its head (`h`) and how
          many turns that covers (`k`), the response in the background that is waited for (`w`)
t:ID      the values of its turns, by their numbers
l:ID      the token of its lock, while it is held: Redis lets go of it in time
b:RESP    of a response in the background: the conversation, the turn and the token that wait for it
"""

from typing import Final

from proxy.store.redis_scripts import ADD

# ARGV: prefix, lifetime, conversation id, token …
_AT: Final = """
local at, life, id, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record, turns, lock = at .. 'c:' .. id, at .. 't:' .. id, at .. 'l:' .. id
"""
_HELD: Final = f"""{_AT}
if redis.call('GET', lock) ~= token then return 0 end
local function free()
  local waiting = redis.call('HGET', record, 'w')
  if waiting then
    redis.call('HDEL', record, 'w')
    redis.call('DEL', at .. 'b:' .. waiting)
  end
  redis.call('DEL', lock)
end
"""

# … "", metadata, made, number of turns, the first turn's value or "", items to add
CREATE: Final = f"""{_AT}{ADD}
add_from(9)
redis.call('HSET', record, 'm', ARGV[5], 'b', ARGV[6], 'n', ARGV[7], 'h', '', 'k', 0)
redis.call('EXPIRE', record, life)
if ARGV[8] ~= '' then
  redis.call('HSET', turns, 0, ARGV[8])
  redis.call('EXPIRE', turns, life)
end
return 1
"""

# Metadata, made, number of turns, head, how many turns that covers, whether it is locked, whether its items are to be
# renewed, and the values of its first turns; nothing where there is no such conversation.
_LOOKED: Final = f"""{_AT}
local function looked(enough)
  local found = redis.call('HMGET', record, 'm', 'b', 'n', 'h', 'k')
  if not found[1] then return {{}} end
  local due = redis.call('TTL', record) < life - life / 30
  if due then
    redis.pcall('EXPIRE', record, life)
    redis.pcall('EXPIRE', turns, life)
  end
  local rows, most = {{}}, math.min(tonumber(found[3]), tonumber(enough))
  for number = 0, most - 1 do rows[number + 1] = redis.call('HGET', turns, number) or '' end
  return {{found[1], found[2], found[3], found[4], found[5], redis.call('EXISTS', lock), due and 1 or 0, rows}}
end
"""

# … token, how many turns are enough, milliseconds
# Answers what there is of the conversation, or 'held'.
LOCK: Final = f"""{_LOOKED}
if redis.call('EXISTS', record) == 0 then return {{}} end
-- Who has it already may take it again: the answer to the first attempt may have been lost.
if redis.call('GET', lock) == token then redis.call('DEL', lock) end
if not redis.call('SET', lock, token, 'NX', 'PX', ARGV[6]) then return 'held' end
return looked(ARGV[5])
"""

# … token, milliseconds, response id or "", turn
RENEW: Final = f"""{_HELD}
redis.call('PEXPIRE', lock, ARGV[5])
if ARGV[6] ~= '' then
  redis.call('HSET', record, 'w', ARGV[6])
  redis.call('SET', at .. 'b:' .. ARGV[6], id .. ' ' .. ARGV[7] .. ' ' .. token, 'PX', ARGV[5])
end
return 1
"""

# … token
FREE: Final = f"""{_HELD}
free()
return 1
"""

# … "", how many turns are enough
LOOK: Final = f"""{_LOOKED}
return looked(ARGV[5])
"""

# … token, number, value or "", number of turns afterwards, whether the head moves, head, covered, whether to unlock,
# items to add, as `ADD` has them
CHANGE: Final = f"""{_HELD}{ADD}
add_from(12)
if ARGV[6] == '' then redis.call('HDEL', turns, ARGV[5]) else redis.call('HSET', turns, ARGV[5], ARGV[6]) end
redis.call('HSET', record, 'n', ARGV[7])
if ARGV[8] == '1' then redis.call('HSET', record, 'h', ARGV[9], 'k', ARGV[10]) end
redis.call('EXPIRE', turns, life)
if ARGV[11] == '1' then free() end
return 1
"""

# … token, metadata
DESCRIBE: Final = f"""{_HELD}
redis.call('HSET', record, 'm', ARGV[5])
free()
return 1
"""

# … token
FORGET: Final = f"""{_HELD}
free()
redis.call('UNLINK', record, turns)
return 1
"""

# … the digests of items that live on, in one piece
KEEP: Final = """
local at, life = ARGV[1], ARGV[2]
for start = 1, #ARGV[3], 16 do redis.call('EXPIRE', at .. 'i:' .. ARGV[3]:sub(start, start + 15), life) end
return ''
"""
