"""The scripts that Redis runs atomically. A scope is the hash tag of all its keys: one slot of a cluster.

r:ID      a response: the id of the one it continues (`p`), the digests of its own items (`d`), its signature (`m`)
i:DIGEST  an item (`v`) and how many responses have it (`n`); of a large one the first piece, how many there are (`k`),
          and the others (`1`, `2` …); the id by which it is found (`id`)
d:ID      the digest of the item with that id

Nobody else is served while a script runs, so each does a bounded part: a response's record is written when its items
are there, and what it replaced is released behind that. What is broken off in between leaves items with too many uses,
which expire by themselves.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from proxy.store.envelope import Entry, owner

VERSION: Final = 2


def told(kept: Sequence[Entry]) -> Iterator[bytes | str]:
    """The arguments by which a script adds items."""
    return (part for entry in kept for part in (entry.digest, entry.value, "", entry.id))


def prefix(scope: str) -> str:
    """With what all keys of a scope begin: the part in braces is what a cluster looks at."""
    return f"unpinned:{VERSION}:{{{owner(scope).hex()}}}:"


_AT: Final = "local at, life = ARGV[1], ARGV[2]\n"

# ARGV: prefix, lifetime, a word that comes back first, how many turns, items and ids and how many bytes of items are
# enough, response id or "", whether to renew the digests that follow in one piece, item ids …
# Answers: the word; of each turn its id, what it continues, its digests, its signature, whether its renewal was due; of
# each item its digest and what is kept of it or ""; the digest of each requested id, or ""; of each large item its
# digest and in how many pieces it is kept.
# Each item by itself: joining what is kept would cost Lua three times as much as finding it (150 items of 1.2 KB: 905
# against 269 µs, Redis 7.0, 2026-11).
# Values of another type are not known. A Redis that takes no writes now, being full or a replica, still answers.
RECALL: Final = f"""{_AT}
local left, room = tonumber(ARGV[4]), tonumber(ARGV[5])
local turns, items, named, large, seen = {{}}, {{}}, {{}}, {{}}, {{}}
local count = 0
local function look(...)
  local found = redis.pcall(...)
  return not (type(found) == 'table' and found.err) and found
end
local function add(list, ...)
  for _, value in ipairs({{...}}) do list[#list + 1] = value end
end
local function read(digests, renew)
  for start = 1, #digests, 16 do
    if left <= 0 or room <= 0 then return end
    local digest = digests:sub(start, start + 15)
    if not seen[digest] then
      seen[digest] = true
      local key = at .. 'i:' .. digest
      local found = look('HMGET', key, 'v', 'k')
      local value = found and found[1] or ''
      if value ~= '' and renew then redis.pcall('EXPIRE', key, life) end
      left, room = left - 1, room - #value
      items[count + 1], items[count + 2] = digest, value
      count = count + 2
      if found and found[2] then add(large, digest, found[2]) end
    end
  end
end
read(ARGV[8], ARGV[7] == '1')
local id = ARGV[6]
while id ~= '' and left > 0 and room > 0 do
  local found = look('HMGET', at .. 'r:' .. id, 'p', 'd', 'm')
  left = left - 1
  if not (found and found[1] and found[2] and found[3]) then
    add(turns, id, '', '?', '', '')
    break
  end
  local due = redis.call('TTL', at .. 'r:' .. id) < life - life / 30
  if due then redis.pcall('EXPIRE', at .. 'r:' .. id, life) end
  add(turns, id, found[1], found[2], found[3], due and '1' or '')
  read(found[2], due)
  id = found[1]
end
for place = 9, #ARGV do
  if left <= 0 or room <= 0 then break end
  left = left - 1
  local digest = look('GET', at .. 'd:' .. ARGV[place])
  if digest then
    redis.pcall('EXPIRE', at .. 'd:' .. ARGV[place], life)
    read(digest, true)
  end
  add(named, digest or '')
end
return {{ARGV[3], turns, items, named, large}}
"""

ADD: Final = """
local function add_from(first)
  for place = first, #ARGV, 4 do
    local digest, id = ARGV[place], ARGV[place + 3]
    local key = at .. 'i:' .. digest
    redis.call('HSET', key, 'v', ARGV[place + 1])
    if ARGV[place + 2] ~= '' then redis.call('HSET', key, 'k', ARGV[place + 2]) end
    redis.call('HINCRBY', key, 'n', 1)
    redis.call('EXPIRE', key, life)
    if id ~= '' then
      redis.call('HSET', key, 'id', id)
      redis.call('SET', at .. 'd:' .. id, digest, 'EX', life)
    end
  end
end
"""
"""Adds items: of each its digest, what is kept of it, in how many pieces, its id or ""."""

# ARGV: prefix, lifetime, response id or "" while more of its items follow, what it continues, all its digests in one
# piece, its signature, then of each item its digest, what is kept of it, in how many pieces, its id or "" …
# Answers the digests of the response that was replaced, in one piece.
REMEMBER: Final = f"""{_AT}{ADD}
add_from(7)
if ARGV[3] == '' then return '' end
local key = at .. 'r:' .. ARGV[3]
local before = redis.call('HGET', key, 'd')
redis.call('HSET', key, 'p', ARGV[4], 'd', ARGV[5], 'm', ARGV[6])
redis.call('EXPIRE', key, life)
return before or ''
"""

# ARGV: prefix, lifetime, response id
# Answers its digests in one piece.
FORGET: Final = f"""{_AT}
local key = at .. 'r:' .. ARGV[3]
local before = redis.call('HGET', key, 'd')
redis.call('DEL', key)
return before or ''
"""

# ARGV: prefix, lifetime, the digests of items that one response less has, in one piece
RELEASE: Final = f"""{_AT}
for start = 1, #ARGV[3], 16 do
  local digest = ARGV[3]:sub(start, start + 15)
  local key = at .. 'i:' .. digest
  if redis.call('HINCRBY', key, 'n', -1) <= 0 then
    local id = redis.call('HGET', key, 'id')
    if id and redis.call('GET', at .. 'd:' .. id) == digest then redis.call('DEL', at .. 'd:' .. id) end
    redis.call('UNLINK', key)
  end
end
return ''
"""
