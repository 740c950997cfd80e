-- Operations on several executions of one bucket, and questions.

-- Answers for each: 0, it is not meant; 1, it is parked now; or its fields, it is the worker's. Each has the base of its
-- bucket: one server has all of them.
function OPS.claim()
  local token, worker, lease_ms = word(), word(), tonumber(word())
  local most, stale, pause = tonumber(word()), tonumber(word()), tonumber(word())
  local statuses, any_name, names, shown, bases, ids = set(), word() == '1', set(), words(), words(), words()
  local replies = {}
  for n, id in ipairs(ids) do
    local base = bases[n]
    local was, unreadable = load(base, id)
    replies[n] = 0
    if not was and not unreadable then
      -- Its record was taken from under it.
      for status in pairs(statuses) do redis.call('ZREM', base .. 'due:' .. status, id) end
    elseif was and was.dueAt and was.dueAt <= now and not was.parkedAt and statuses[was.status]
      and (any_name or names[was.name]) and (stale == 0 or was.updatedAt <= now - stale) then
      local r = copy(was)
      if was.attempts >= most then
        r.parkedAt, r.dueAt, r.workerId = now, nil, nil
        if r.token then r.token = '' end
        save(base, id, was, r, {}, {})
        replies[n] = 1
      else
        r.attempts, r.token, r.workerId = was.attempts + 1, token, worker
        r.dueAt = now + lease_ms + backoff(r.attempts, pause)
        save(base, id, was, r, {}, {})
        replies[n] = redis.call('HMGET', base .. 'saga:' .. id, unpack(shown))
      end
    end
  end
  return replies
end

-- Whether the lease is still the worker's.
function OPS.heartbeat()
  local base, id, token, lease_ms, pause = word(), word(), word(), tonumber(word()), tonumber(word())
  local was = load(base, id)
  if not was or was.token ~= token then return 0 end
  local r = copy(was)
  r.dueAt = now + lease_ms + backoff(r.attempts, pause)
  save(base, id, was, r, {}, {})
  return 1
end

function OPS.redrive()
  local base, id, reset = word(), word(), word() == '1'
  local was = load(base, id)
  if not was or not was.parkedAt then return 0 end
  local r = copy(was)
  r.parkedAt, r.dueAt = nil, now
  if reset then r.attempts = 0 end
  save(base, id, was, r, {}, {})
  return 1
end

-- How many were removed that had ended.
function OPS.cleanup()
  local base, before, statuses, count = word(), tonumber(word()), set(), 0
  for _, id in ipairs(words()) do
    local r, unreadable = load(base, id)
    if r and statuses[r.status] and r.completedAt and r.completedAt < before then
      remove(base, id, r)
      count = count + 1
    elseif not r and not unreadable then
      forget(base, id)
    end
  end
  return count
end

-- How many were removed whose time was over.
function OPS.purge()
  local base, count = word(), 0
  for _, id in ipairs(words()) do
    if redis.call('EXISTS', base .. 'saga:' .. id) == 0 then
      remove(base, id)
      count = count + 1
    end
  end
  return count
end

-- Of buckets, of each status: how many there are and how many are parked. Then those that are leased, bytes, and when
-- the first is due.
function OPS.figures()
  local replies, due = {}, nil
  for n = 1, 14 do replies[n] = 0 end
  for _, base in ipairs(words()) do
    for n, s in ipairs({'pending', 'running', 'compensating', 'completed', 'compensated', 'failed'}) do
      local count = redis.call('ZCARD', base .. 'updated:' .. s)
      if count > 0 and OVER[s] then
        count = count - redis.call('ZCOUNT', base .. 'expiring:' .. s, '-inf', stored(now))
      elseif count > 0 then
        replies[2 * n] = replies[2 * n] + redis.call('ZCARD', base .. 'parked:' .. s)
        local first = tonumber(redis.call('ZRANGE', base .. 'due:' .. s, 0, 0, 'WITHSCORES')[2])
        if first and (not due or first < due) then due = first end
      end
      replies[2 * n - 1] = replies[2 * n - 1] + count
    end
    replies[13] = replies[13] + redis.call('ZCARD', base .. 'leased')
    replies[14] = replies[14] + (redis.call('GET', base .. 'bytes') or 0)
  end
  replies[14] = stored(replies[14])
  replies[15] = stored(due) or ''
  return replies
end

-- The server's time; then the beginnings of the sorted sets that have any: the place of each among the keys, and its
-- members with their scores.
function OPS.heads()
  local descending, from, most = word() == '1', word(), word()
  local replies = {stored(now)}
  for n, key in ipairs(KEYS) do
    local page
    if descending then
      page = redis.call('ZREVRANGEBYSCORE', key, from ~= '' and from or '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, most)
    else
      page = redis.call('ZRANGEBYSCORE', key, from ~= '' and from or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, most)
    end
    if #page > 0 then
      replies[#replies + 1] = n
      replies[#replies + 1] = page
    end
  end
  return replies
end

-- Entries of a log from a place on, until there are so many, or one is past so many bytes, but at least two; behind the
-- place of the first. Nothing at all, if there is no execution.
function OPS.history()
  local base, id, after, backwards, most, bytes = word(), word(), number(), word() == '1', tonumber(word()), tonumber(word())
  if redis.call('EXISTS', base .. 'saga:' .. id) == 0 then return {} end
  local log, length = base .. 'log:' .. id, redis.call('LLEN', base .. 'log:' .. id)
  local from = backwards and math.min((after or length + 1) - 2, length - 1) or after or 0
  local replies, at = {from}, from
  while at >= 0 and at < length and #replies <= most and (bytes >= 0 or #replies < 3) do
    local page
    if backwards then page = redis.call('LRANGE', log, math.max(at - 15, 0), at)
    else page = redis.call('LRANGE', log, at, at + 15) end
    for n = 1, #page do
      if #replies > most or bytes < 0 and #replies >= 3 then break end
      local entry = page[backwards and #page + 1 - n or n]
      bytes = bytes - tonumber(string.match(entry, '^%[(%d+)') or 0)
      replies[#replies + 1] = entry
    end
    at = at + (backwards and -16 or 16)
  end
  return replies
end
