-- Changes of one execution. Each answers a reply and, if it may happen, a function that does it.

-- The record without what most changes do not ask for; or as load() has it.
local function load_head(base, id)
  local v = redis.call('HMGET', base .. 'saga:' .. id, 'status', 'parkedAt', 'operation', 'token', 'version', 'entries', 'bytes',
    'size', 'attempts', 'updatedAt', 'dueAt')
  if v[2] or not (ACTIVE[v[1]] or v[1] == 'pending') then return load(base, id) end
  for n = 5, 10 do
    v[n] = v[n] and tonumber(v[n])
    if not v[n] then return load(base, id) end
  end
  return {is_head = true, status = v[1], operation = v[3] or nil, token = v[4] or nil, version = v[5], entries = v[6],
    bytes = v[7], size = v[8], attempts = v[9], updatedAt = v[10], dueAt = v[11] and tonumber(v[11]) or nil}
end

-- Stores entries behind those that are there, which are `seq`.
local function append(base, id, seq, list)
  local log, texts = base .. 'log:' .. id, {}
  for n, entry in ipairs(list) do
    if entry.key ~= '' then redis.call('HSET', base .. 'steps:' .. id, entry.key, stored(seq + n)) end
    texts[#texts + 1] = entry.text
    if #texts == 100 or n == #list then
      redis.call('RPUSH', log, unpack(texts))
      texts = {}
    end
  end
end

function OPS.change()
  local base, id, operation, moment, counts = word(), word(), word(), tonumber(word()), tonumber(word())
  local fence, token, expected, status = word(), word(), number(), text()
  local attempts, progress = word(), word() == '1'
  local due_given, due = word() == '1', number()
  local lease, lease_ms, counted = word(), number(), word() == '1'
  local ttl, pause, most_entries, most_bytes = number(), tonumber(word()), tonumber(word()), tonumber(word())
  local fields, drop, list = words(), words(), entries()

  -- A change of the log, the context and the like: the record stays in its places, but for its last change.
  local stays = not status and attempts == '' and not due_given and lease ~= 'end'
  local was, unreadable
  if stays then was, unreadable = load_head(base, id) else was, unreadable = load(base, id) end
  if not was then return unreadable or {'missing'} end
  if was.operation == operation then
    local whole = load(base, id) or was
    return {'ok', whole.operationVersion or was.version, whole.operationSeq or '', was.entries, was.bytes, now}
  end
  if fence == 'never' and was.token or fence == 'token' and was.token ~= token then return {'lease'} end
  if status and fence ~= 'force' and OVER[was.status] and was.status ~= status then return {'ended', was.status} end
  if expected and expected ~= was.version then return {'conflict', stored(was.version)} end
  local fresh, bytes, first = {}, was.bytes, nil
  for n, entry in ipairs(list) do
    local seq = entry.key ~= '' and redis.call('HGET', base .. 'steps:' .. id, entry.key)
    if n == 1 then first = seq and tonumber(seq) or was.entries + 1 end
    if not seq then
      fresh[#fresh + 1] = entry
      bytes = bytes + entry.bytes
    end
  end
  local count = was.entries + #fresh
  if #fresh > 0 and (count > most_entries or bytes > most_bytes) then return {'large', count, stored(bytes)} end
  local reply = {'ok', was.version + counts, first or '', count, bytes, now}

  if was.is_head then
    local left = progress and 0 or was.attempts
    -- Not under half of the lease is left: see below.
    if lease ~= 'renew' or was.dueAt and was.dueAt >= now + math.floor(lease_ms / 2) + backoff(left, pause) then
      return reply, function()
        local size, updated, n = was.size - was.bytes + bytes, math.max(moment, was.updatedAt), #fields
        for at = 1, n, 2 do
          if fields[at] == 'context' then size = bytes + #fields[at + 1] end
        end
        append(base, id, was.entries, fresh)
        fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = 'operation', operation, 'operationVersion', reply[2]
        fields[n + 5], fields[n + 6], fields[n + 7], fields[n + 8] = 'updatedAt', updated, 'version', reply[2]
        fields[n + 9], fields[n + 10], fields[n + 11], fields[n + 12] = 'entries', count, 'bytes', bytes
        fields[n + 13], fields[n + 14], fields[n + 15], fields[n + 16] = 'size', size, 'attempts', left
        if first then fields[n + 17], fields[n + 18] = 'operationSeq', first else drop[#drop + 1] = 'operationSeq' end
        redis.call('HSET', base .. 'saga:' .. id, unpack(fields))
        if #drop > 0 then redis.call('HDEL', base .. 'saga:' .. id, unpack(drop)) end
        if updated ~= was.updatedAt then redis.call('ZADD', base .. 'updated:' .. was.status, updated, id) end
        add_bytes(base, size - was.size)
      end
    end
    was, unreadable = load(base, id)
    if not was then return unreadable end
  end

  local r = copy(was)
  r.version, r.entries, r.bytes = was.version + counts, count, bytes
  r.updatedAt = math.max(moment, was.updatedAt)
  r.operation, r.operationVersion, r.operationSeq = operation, r.version, first
  r.size = was.size - was.bytes + bytes
  for n = 1, #fields, 2 do
    if fields[n] == 'context' then r.size = bytes + #fields[n + 1] end
  end
  if progress then r.attempts = 0 end
  if attempts == '+' then r.attempts = r.attempts + 1 elseif attempts ~= '' then r.attempts = tonumber(attempts) end
  r.status = status or was.status
  if OVER[r.status] then
    if not OVER[was.status] then
      r.completedAt = moment
      r.expiresAt = ttl and moment + ttl
    end
    r.dueAt, r.parkedAt, r.workerId = nil, nil, nil
    if r.token then r.token = '' end
  else
    r.completedAt, r.expiresAt = nil, nil
    if due_given then r.dueAt, r.parkedAt = due, nil end
    if lease == 'renew' then
      -- Under half of it is left. What lies behind the lease's end is the pause before the next attempt.
      local behind = backoff(r.attempts, pause)
      if not r.dueAt or r.dueAt < now + math.floor(lease_ms / 2) + behind then r.dueAt = now + lease_ms + behind end
    elseif lease == 'end' then
      r.attempts = counted and math.max(r.attempts, 1) or math.max(r.attempts - 1, 0)
      r.dueAt = lease_ms or now + (counted and backoff(r.attempts, pause) or 0)
      r.token, r.workerId = '', nil
    end
    -- Nobody has it, and nobody said when it is due.
    if status and not due_given and ACTIVE[r.status] and not r.dueAt and not r.parkedAt then r.dueAt = now end
  end
  return reply, function()
    append(base, id, was.entries, fresh)
    save(base, id, was, r, fields, drop)
  end
end

-- A new one, or one in place of what is there (`mode` is not 'create').
function OPS.create()
  local base, id, mode, due_from, due = word(), word(), word(), word(), number()
  local fields, others, list = words(), words(), entries()

  local was, unreadable = load(base, id)
  if unreadable and mode ~= 'force' then return unreadable end
  local r = {}
  for n = 1, #fields, 2 do r[fields[n]] = fields[n + 1] end
  for n = TEXTS + 1, #FIELDS do r[FIELDS[n]] = tonumber(r[FIELDS[n]]) end
  if due_from == 'now' then r.dueAt = now + due else r.dueAt = due end
  local first = #list > 0 and 1 or ''
  if was and mode == 'create' then
    if was.operation ~= r.operation or was.version ~= 1 then return {'taken'} end
    return {'ok', 1, first, r.entries, r.bytes, now}
  end
  if was then
    if was.operation == r.operation then
      return {'ok', was.operationVersion or was.version, first, r.entries, r.bytes, now}
    end
    if mode ~= 'force' then
      if was.token then return {'lease'} end
      if OVER[was.status] and was.status ~= r.status then return {'ended', was.status} end
    end
    r.version, r.createdAt, r.attempts = was.version + 1, was.createdAt, was.attempts
    r.operationVersion, r.token = r.version, was.token and ''
    if OVER[was.status] and OVER[r.status] then r.completedAt, r.expiresAt = was.completedAt, was.expiresAt end
  end
  return {'ok', r.version, first, r.entries, r.bytes, now}, function()
    if was then
      redis.call('UNLINK', base .. 'log:' .. id, base .. 'steps:' .. id)
    elseif unreadable then
      remove(base, id)
    else
      forget(base, id)
    end
    local keeps = {}
    for n = 1, #others, 2 do keeps[others[n]] = true end
    local drop = {}
    for _, field in ipairs({'context', 'subStatus', 'metadata', 'tags', 'lastError'}) do
      if was and not keeps[field] then drop[#drop + 1] = field end
    end
    append(base, id, 0, list)
    save(base, id, was or {}, r, others, drop)
  end
end

function OPS.delete()
  local base, id = word(), word()
  local r, unreadable = load(base, id)
  return {(r or unreadable) and 'ok' or 'missing'}, function()
    if r or unreadable then remove(base, id, r) else forget(base, id) end
  end
end
