-- What all scripts of executions know. Arguments are words, read one after the other with word().
-- All keys of a bucket begin with `base`.
local TEXTS = 5
local FIELDS = {'name', 'status', 'token', 'workerId', 'operation', 'version', 'entries', 'bytes', 'size', 'attempts',
  'createdAt', 'updatedAt', 'dueAt', 'operationVersion', 'operationSeq', 'completedAt', 'parkedAt', 'expiresAt'}
-- The last of those that are always there.
local NEEDED = 12
local ACTIVE = {running = true, compensating = true}
local OVER = {completed = true, compensated = true, failed = true}
local OPS = {}

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A word that may be empty: then it is none.
local function number() local w = word() if w ~= '' then return tonumber(w) end end
local function text() local w = word() if w ~= '' then return w end end
local function words() local list = {} for n = 1, tonumber(word()) do list[n] = word() end return list end
local function set() local known = {} for _, w in ipairs(words()) do known[w] = true end return known end
-- Entries of a log: their key, their bytes, their text.
local function entries()
  local list = {}
  for n = 1, tonumber(word()) do
    local key, bytes = word(), tonumber(word())
    list[n] = {key = key, bytes = bytes, text = word()}
  end
  return list
end

local function stored(value)
  if type(value) == 'number' then return string.format('%.0f', value) end
  return value
end

local function backoff(attempts, ms)
  if attempts < 1 then return 0 end
  return math.min(ms * 2 ^ math.min(attempts - 1, 40), math.max(300000, ms))
end

-- The record, or nil; and the reply if it cannot be read.
local function load(base, id)
  local values, r = redis.call('HMGET', base .. 'saga:' .. id, unpack(FIELDS)), {}
  for n, value in ipairs(values) do
    if value then
      if n <= TEXTS then r[FIELDS[n]] = value else r[FIELDS[n]] = tonumber(value) end
    end
  end
  if next(r) == nil then return nil end
  if not ACTIVE[r.status] and not OVER[r.status] and r.status ~= 'pending' then return nil, {'corrupt'} end
  for n = TEXTS + 1, NEEDED do if not r[FIELDS[n]] then return nil, {'corrupt'} end end
  return r
end

local function copy(r)
  local twin = {}
  for field, value in pairs(r) do twin[field] = value end
  return twin
end

-- Moves an execution within an index of its bucket, of which there is one for each status: from a status and a score, if
-- it has one, to others.
local function move(base, id, index, from, to, before, after)
  local stays = from == to
  if before and not (after and stays) then redis.call('ZREM', base .. index .. from, id) end
  if after and not (before == after and stays) then redis.call('ZADD', base .. index .. to, stored(after), id) end
end

-- The same in all indexes. A record without a status is none.
local function move_all(base, id, was, r)
  local from, to = was.status, r.status
  move(base, id, 'updated:', from, to, was.updatedAt, r.updatedAt)
  move(base, id, 'created:', from, to, was.createdAt, r.createdAt)
  move(base, id, 'due:', from, to, was.dueAt, r.dueAt)
  move(base, id, 'parked:', from, to, was.parkedAt and was.updatedAt, r.parkedAt and r.updatedAt)
  local before, after = was.token and was.token ~= '' and 0, r.token and r.token ~= '' and 0
  move(base, id, 'leased', '', '', before, after)
  move(base, id, 'ended:', from, to, was.completedAt, r.completedAt)
  move(base, id, 'expiring:', from, to, was.expiresAt, r.expiresAt)
end

local function add_bytes(base, bytes)
  if bytes ~= 0 then redis.call('INCRBY', base .. 'bytes', stored(bytes)) end
end

-- Stores what has changed between two versions of a record, and in the indexes. `fields` are further ones with
-- their values, `drop` those that go.
local function save(base, id, was, r, fields, drop)
  for _, field in ipairs(FIELDS) do
    local value = r[field]
    if value ~= was[field] then
      if value == nil then drop[#drop + 1] = field else
        fields[#fields + 1] = field
        fields[#fields + 1] = stored(value)
      end
    end
  end
  local key = base .. 'saga:' .. id
  if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
  if #drop > 0 then redis.call('HDEL', key, unpack(drop)) end
  move_all(base, id, was, r)
  add_bytes(base, r.size - (was.size or 0))
  if r.expiresAt then
    -- When the record has gone by itself, this tells what else is to go.
    redis.call('HSET', base .. 'sizes', id, stored(r.size))
    for _, part in ipairs({'log:', 'steps:', 'saga:'}) do
      redis.call('PEXPIREAT', base .. part .. id, stored(r.expiresAt))
    end
  elseif was.expiresAt then
    redis.call('HDEL', base .. 'sizes', id)
    for _, part in ipairs({'log:', 'steps:', 'saga:'}) do redis.call('PERSIST', base .. part .. id) end
  end
end

-- Removes an execution. Without a record that can be read it is looked for in all indexes.
local function remove(base, id, r)
  local key = base .. 'saga:' .. id
  local size = r and r.size or tonumber(redis.call('HGET', base .. 'sizes', id) or redis.call('HGET', key, 'size') or 0)
  redis.call('UNLINK', key, base .. 'log:' .. id, base .. 'steps:' .. id)
  redis.call('HDEL', base .. 'sizes', id)
  add_bytes(base, -(size or 0))
  if r then
    return move_all(base, id, r, {})
  end
  redis.call('ZREM', base .. 'leased', id)
  for _, s in ipairs({'pending', 'running', 'compensating', 'completed', 'compensated', 'failed'}) do
    for _, index in ipairs({'updated:', 'created:', OVER[s] and 'ended:' or 'due:', OVER[s] and 'expiring:' or 'parked:'}) do
      redis.call('ZREM', base .. index .. s, id)
    end
  end
end

-- What an execution that has gone by itself has left.
local function forget(base, id)
  if redis.call('HEXISTS', base .. 'sizes', id) == 1 then remove(base, id) end
end
