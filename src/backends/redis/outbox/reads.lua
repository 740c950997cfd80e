-- Questions.

-- An event as it is told: its id, and its fields.
local function told(id)
  local v = call('HMGET', event(id), unpack(FIELDS))
  if not v[1] then return nil end
  return {id, unpack(v)}
end

function OPS.get()
  open(word())
  return told(word())
end

-- A page of an index by number: events behind a number that have a status, if one is given. Answers where it ended, or
-- nothing at the end, and the events.
function OPS.page()
  open(word())
  local index, after, status, looks, limit = base .. word(), word(), text(), tonumber(word()), tonumber(word())
  local found = call('ZRANGEBYSCORE', index, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, looks)
  local list = {}
  for n = 1, #found, 2 do
    local is_meant = not status or call('HGET', event(found[n]), 'status') == status
    local one = is_meant and told(found[n])
    -- An id that was kept may have been used again.
    if one and one[3] == found[n + 1] then list[#list + 1] = one end
    if #list == limit then return {found[n + 1], list} end
  end
  return {#found == 2 * looks and found[#found] or '', list}
end

-- Those that were claimed then or earlier, among some that are claimed: their numbers and ids.
function OPS.claimed()
  open(word())
  local older_than, from, count = tonumber(word()), tonumber(word()), tonumber(word())
  local found, list = call('ZRANGE', leases, from, from + count - 1), {}
  for _, id in ipairs(found) do
    local v = call('HMGET', event(id), 'status', 'claimed', 'seq')
    if v[1] == 'claimed' and tonumber(v[2]) <= now - older_than then
      list[#list + 1] = v[3]
      list[#list + 1] = id
    end
  end
  return {int(now - older_than), #found, list}
end

function OPS.several()
  open(word())
  local list = {}
  for _, id in ipairs(words()) do
    local one = told(id)
    if one then list[#list + 1] = one end
  end
  return list
end

local function counts()
  local claimed, dead = call('ZCARD', leases), call('ZCARD', base .. 'dead')
  local waiting = call('ZCOUNT', delayed, '(' .. int(now), '+inf')
  return {
    pending = math.max(call('ZCARD', all) - claimed - dead, 0), claimed = claimed, dead_letter = dead,
    sent = call('ZCOUNT', base .. 'fading', '(' .. int(now), '+inf'), waiting = waiting,
  }
end

function OPS.count()
  open(word())
  return counts()[word()]
end

function OPS.statistics()
  open(word())
  local c = counts()
  return {now, math.max(c.pending - c.waiting, 0), c.claimed, c.waiting, c.dead_letter, c.sent,
    call('ZCARD', base .. 'blocked')}
end

-- When the earliest that is ready was stored, among some events behind a number; else the last number of them.
function OPS.oldest()
  open(word())
  local after, count = word(), tonumber(word())
  local found = call('ZRANGEBYSCORE', all, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, count)
  for n = 1, #found, 2 do
    local v = call('HMGET', event(found[n]), 'status', 'due', 'made')
    if v[1] == 'pending' and (not v[2] or tonumber(v[2]) <= now) then
      return {string.match(v[3], '^%d+'), ''}
    end
  end
  return {'', #found == 2 * count and found[#found] or ''}
end

function OPS.blocked()
  open(word())
  return call('ZRANGE', base .. 'blocked', 0, tonumber(word()) - 1)
end
