-- Claims. One script looks at a bounded number of events; who wants more asks again.

-- How much of each index one script takes in.
local STEP = 200
-- At how many events one script looks that it may not want.
local LOOKS = 300
local NEVER_ANSWERED = 'it was claimed too often without an answer (maxDeliveries)'

-- Whether an index said that an event is there, and it is not. What it has held up is looked for.
local has_missed = false

local function forget_missing(id)
  for _, index in ipairs({all, again, delayed, leases}) do call('ZREM', index, id) end
  has_missed = true
end

-- What has become due, and whose lease is over, can be claimed. Whether there is more of it.
local function advance(skips)
  local due = call('ZRANGEBYSCORE', delayed, '-inf', int(now), 'LIMIT', 0, STEP)
  if #due > 0 then call('ZREM', delayed, unpack(due)) end
  for _, id in ipairs(due) do
    local e = load(id)
    if not e then forget_missing(id) elseif e.status == 'pending' then offer_one(e, skips) end
  end
  local lapsed = call('ZRANGEBYSCORE', leases, '-inf', int(now), 'LIMIT', 0, STEP)
  for _, id in ipairs(lapsed) do
    -- It has its worker still, and is looked at once.
    call('ZADD', leases, 'XX', '+inf', id)
    local e = load(id)
    if not e then forget_missing(id) elseif e.status == 'claimed' then offer_one(e, skips) end
  end
  -- Where dead letters let others pass now, and did not before.
  local held = skips and call('SPOP', base .. 'held', STEP) or {}
  for _, key in ipairs(held) do offer_key(key, skips) end
  return #due == STEP or #lapsed == STEP or #held == STEP
end

-- All that can be claimed until now is looked for.
local function begin_mending()
  local last = call('ZREVRANGE', all, 0, 0, 'WITHSCORES')
  call('HSET', meta, 'mending', 0, 'mendingTo', last[2] or 0)
end

-- The stream is not what it should be: it begins anew.
local function renew_stream()
  call('DEL', ready)
  call('XGROUP', 'CREATE', ready, GROUP, '0', 'MKSTREAM')
  call('HSET', meta, 'ready', 0)
  begin_mending()
end

-- Looks for some of it. Whether there is more.
local function mend(skips)
  local at = call('HMGET', meta, 'mending', 'mendingTo')
  if not at[1] then return false end
  local found = call('ZRANGEBYSCORE', all, '(' .. at[1], at[2] or 0, 'WITHSCORES', 'LIMIT', 0, STEP)
  for n = 1, #found, 2 do
    local e = load(found[n])
    if not e then
      forget_missing(found[n])
    elseif e.key then
      local first = head(e.key, skips)
      if first and first.id == e.id then offer_key(e.key, skips) end
    else
      offer(e)
    end
  end
  -- Those that it has held up stand behind it in this walk.
  has_missed = false
  if #found < 2 * STEP then
    call('HDEL', meta, 'mending', 'mendingTo')
    return false
  end
  call('HSET', meta, 'mending', found[#found])
  return true
end

-- Takes the next events off the stream: their numbers and ids. Leases are ours, so nobody acknowledges anything to
-- the group (NOACK), and what is read goes at once.
local function read(count)
  local function attempt()
    return redis.pcall('XREADGROUP', 'GROUP', GROUP, WORKER, 'COUNT', count, 'NOACK', 'STREAMS', ready, '>')
  end
  local reply = attempt()
  if reply and reply.err then
    -- NOGROUP: the stream is new, or was removed. From 0: what is on it is not read yet.
    call('XGROUP', 'CREATE', ready, GROUP, '0', 'MKSTREAM')
    reply = attempt()
    if reply and reply.err then return {} end
  end
  if not reply then return {} end
  local read, places = {}, {}
  for _, entry in ipairs(reply[1][2]) do
    places[#places + 1] = entry[1]
    if entry[2] and entry[2][1] == 'id' then
      read[#read + 1] = {seq = tonumber(string.match(entry[1], '^%d+')), id = entry[2][2], streamed = true}
    end
  end
  if #places > 0 then call('HINCRBY', meta, 'ready', -call('XDEL', ready, unpack(places))) end
  return read
end

-- The earliest events that can be claimed, at most so many: from the stream, and those that are offered again, behind
-- a number.
local function candidates(after, count)
  local found = call('ZRANGEBYSCORE', again, '(' .. int(after), '+inf', 'WITHSCORES', 'LIMIT', 0, count)
  if #found == 0 then return read(count) end
  -- How many of the stream are earlier?
  local ahead = call('XRANGE', ready, '-', '+', 'COUNT', count)
  local list, taken = {}, 0
  for n = 1, #found, 2 do
    local seq = tonumber(found[n + 1])
    while ahead[taken + 1] and #list + taken < count and tonumber(string.match(ahead[taken + 1][1], '^%d+')) < seq do
      taken = taken + 1
    end
    if #list + taken == count then break end
    list[#list + 1] = {seq = seq, id = found[n]}
  end
  taken = math.min(#ahead, count - #list)
  if taken > 0 then
    for _, entry in ipairs(read(taken)) do list[#list + 1] = entry end
    table.sort(list, function(x, y) return x.seq < y.seq end)
  end
  return list
end

function OPS.claim()
  open(word())
  local t, token, worker, lease_ms = terms(), word(), word(), tonumber(word())
  local limit, older_than, after = tonumber(word()), tonumber(word()), tonumber(word())
  local types, routes = nil, nil
  local function names() local known = {} for _, w in ipairs(words()) do known[w] = true end return known end
  if word() == '1' then types = names() end
  if word() == '1' then routes = names() end
  local rest_key, rest_seq = text(), number()
  local is_choosy = types or routes or older_than > 0
  local till = int(now + lease_ms)

  local given, gone, held = {}, {}, {}
  -- Whether there is an event that is too young: all behind it are.
  local is_young = false

  local function wanted(kind, made)
    if not is_choosy then return true end
    if tonumber(string.match(made, '^%d+')) > now - older_than then
      is_young = true
      return false
    end
    local type, route = string.match(kind, '^(%Z+)%z?(%Z*)$')
    return (not types or types[type]) and (not routes or route ~= '' and routes[route])
  end

  -- What becomes of an event: 'given', 'dead', 'unwanted', 'held', or 'missing'. In a run, what stands before it has
  -- just been claimed.
  local function take(id, seq, in_run)
    local v = call('HMGET', event(id), unpack(FIELDS, 1, 13))
    local e = {id = id, status = v[1], seq = tonumber(v[2] or nil), key = v[3], due = tonumber(v[4] or nil),
      lease = tonumber(v[5] or nil), saga = v[10]}
    if not v[1] then
      forget_missing(id)
      return 'missing', e
    end
    if e.status == 'dead_letter' then return 'dead', e end
    if e.seq ~= seq or not is_free(e) then return 'held', e end
    if e.key and not in_run then
      local first = head(e.key, t.skips)
      if not first or first.id ~= id then
        if first then offer_key(e.key, t.skips) end
        return 'held', e
      end
    end
    if not wanted(v[8], v[9]) then return 'unwanted', e end
    local deliveries = tonumber(v[7] or 0)
    if deliveries >= t.deliveries then
      withdraw(e)
      bury(e, NEVER_ANSWERED, t.retain_dead)
      return 'dead', e
    end
    if v[4] then
      call('HDEL', event(id), 'due')
      call('ZREM', delayed, id)
    end
    call('HSET', event(id), 'status', 'claimed', 'claimed', int(now), 'worker', worker, 'token', token, 'lease', till,
      'deliveries', deliveries + 1)
    held[#held + 1] = till
    held[#held + 1] = id
    given[#given + 1] = {id, v[2], v[3], deliveries + 1, v[8], v[9], v[10], v[11], v[12], v[13]}
    return 'given', e
  end

  local cut_key, cut_seq = '', ''
  -- Those of a key behind an event.
  local function run(key, seq)
    while true do
      if #given >= limit then
        cut_key, cut_seq = key, int(seq)
        return
      end
      local found = call('ZRANGEBYSCORE', of_key(key), '(' .. int(seq), '+inf', 'WITHSCORES', 'LIMIT', 0, limit - #given)
      for n = 1, #found, 2 do
        seq = tonumber(found[n + 1])
        local fate = take(found[n], seq, true)
        if fate == 'given' then
          gone[#gone + 1] = found[n]
        elseif fate == 'missing' then
          call('ZREM', of_key(key), found[n])
        elseif fate ~= 'dead' or not t.skips then
          if fate == 'dead' then offer_key(key, false) end
          return
        end
      end
      if #found == 0 then return end
    end
  end

  local is_more = advance(t.skips)
  if has_missed then begin_mending() end
  if call('XLEN', ready) ~= tonumber(call('HGET', meta, 'ready') or 0) then renew_stream() end
  is_more = mend(t.skips) or is_more
  if rest_key then
    local before = call('ZRANGEBYSCORE', of_key(rest_key), rest_seq, rest_seq)[1]
    local e = before and load(before)
    if e and e.status == 'claimed' and e.token == token then run(rest_key, rest_seq) end
  end
  local looks, is_dry = 0, false
  while #given < limit and looks < LOOKS and not is_young do
    local found = candidates(after, is_choosy and 100 or limit - #given)
    if #found == 0 then
      is_dry = true
      break
    end
    for _, f in ipairs(found) do
      if #given >= limit or is_young then
        if f.streamed then call('ZADD', again, int(f.seq), f.id) end
      else
        looks = looks + 1
        if is_choosy then after = f.seq end
        local fate, e = take(f.id, f.seq)
        if fate == 'unwanted' then
          if f.streamed then call('ZADD', again, int(f.seq), f.id) end
        else
          if fate == 'given' then gone[#gone + 1] = f.id elseif not f.streamed then call('ZREM', again, f.id) end
          if e.key and (fate == 'given' or fate == 'dead' and t.skips) then run(e.key, f.seq) end
          if e.key and fate == 'dead' then offer_key(e.key, t.skips) end
        end
      end
    end
  end
  if #gone > 0 then call('ZREM', again, unpack(gone)) end
  if #held > 0 then call('ZADD', leases, unpack(held)) end
  -- Entries that the group does not give: somebody has moved its place.
  if is_dry and call('XLEN', ready) > 0 then
    renew_stream()
    is_more = true
  elseif has_missed then
    begin_mending()
    is_more = true
  end
  if not is_dry and not is_young then is_more = true end
  return {now, is_more and 1 or 0, int(after), cut_key, cut_seq, given}
end
