-- Whole events on their way out and in.

-- A page of all that is stored, by number: events behind a number, until there are so many, or one more would be past so
-- many bytes, but at least one. Answers where it ended, or nothing at the end, and the events.
function OPS.scan()
  open(word())
  local after, limit, bytes = word(), tonumber(word()), tonumber(word())
  local found, list, last = {}, {}, ''
  for _, index in ipairs({all, base .. 'kept'}) do
    local page = call('ZRANGEBYSCORE', index, '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
    for n = 1, #page, 2 do found[#found + 1] = {id = page[n], seq = page[n + 1]} end
  end
  table.sort(found, function(x, y) return tonumber(x.seq) < tonumber(y.seq) end)
  for n = 1, math.min(#found, limit) do
    local f = found[n]
    bytes = bytes - call('HSTRLEN', event(f.id), 'body') - 256
    if bytes < 0 and #list > 0 then return {last, list} end
    local one = told(f.id)
    -- An id that was kept may have been used again.
    if one and one[3] == f.seq then list[#list + 1] = one end
    last = f.seq
  end
  return {#found >= limit and last or '', list}
end

-- How many are stored.
function OPS.total()
  open(word())
  return call('ZCARD', all) + call('ZCOUNT', base .. 'fading', '(' .. int(now), '+inf')
end

-- Events that are to be stored as they are.
local function given()
  local list = {}
  for n = 1, tonumber(word()) do
    list[n] = {id = word(), status = word(), key = text(), saga = text(), due = number(), lease = number(), sent = number(),
      dead = number(), expires = number(), deliveries = tonumber(word()), retries = tonumber(word()), fields = words()}
  end
  return list
end

local RANKS = {sent = 2, dead_letter = 1}
local function is_newer(e, was)
  local rank, other = RANKS[e.status] or 0, RANKS[was.status] or 0
  if rank ~= other then return rank > other end
  if e.deliveries ~= was.deliveries then return e.deliveries > was.deliveries end
  return e.retries > was.retries
end

-- An event goes, wherever it stands.
local function take_away(was)
  if was.status == 'sent' then
    forget_kept(was.id)
    call('DEL', event(was.id))
    return
  end
  withdraw(was)
  if was.status == 'dead_letter' then unbury(was) end
  remove(was)
end

-- Stores an event at its place. Whether it is on the stream.
local function bring(e, is_new)
  local id, seq, fields = e.id, int(e.seq), e.fields
  fields[#fields + 1], fields[#fields + 2] = 'seq', seq
  call('HSET', event(id), unpack(fields))
  if e.saga then call('ZADD', of_saga(e.saga), seq, id) end
  if e.status == 'sent' then
    if e.saga then call('HSET', base .. 'sagas', id, e.saga) end
    call('ZADD', base .. 'kept', seq, id)
    call('ZADD', base .. 'sent', int(e.sent or now), id)
    call('ZADD', base .. 'fading', e.expires and int(e.expires) or '+inf', id)
    if e.expires then call('PEXPIREAT', event(id), int(e.expires)) end
    return false
  end
  call('ZADD', all, seq, id)
  if e.key then call('ZADD', of_key(e.key), seq, id) end
  if e.status == 'dead_letter' then
    call('ZADD', base .. 'dead', seq, id)
    call('ZADD', base .. 'died', int(e.dead or now), id)
    if e.expires then call('ZADD', base .. 'rotting', int(e.expires), id) end
    if e.key then
      call('HINCRBY', base .. 'deads', e.key, 1)
      call('ZADD', base .. 'blocked', 0, e.key)
    end
  elseif e.status == 'claimed' then
    call('ZADD', leases, int(e.lease), id)
  elseif e.due and e.due > now then
    call('ZADD', delayed, int(e.due), id)
  end
  local first = e.key and head(e.key, false)
  -- Who lets others pass a dead letter finds the key among those that are held up.
  if first and first.status == 'dead_letter' then call('SADD', base .. 'held', e.key) end
  if e.status ~= 'pending' or e.due and e.due > now or first and first.id ~= id then return false end
  -- A stream that somebody has written to may be ahead.
  local added = is_new and redis.pcall('XADD', ready, seq .. '-0', 'id', id)
  if added and (type(added) ~= 'table' or not added.err) then return true end
  call('ZADD', again, seq, id)
  return false
end

-- Answers of each 'stored', 'skipped' or 'taken'. What is replaced keeps its place; the others are the last.
function OPS.bring()
  open(word())
  local policy, list, replies, chosen, count = word(), given(), {}, {}, 0
  for n, e in ipairs(list) do
    local was = load(e.id)
    local ends = was and was.status == 'dead_letter' and tonumber(call('HGET', event(e.id), 'expires') or nil)
    local lives = was and not (ends and ends <= now)
    if lives and policy == 'refuse' then
      replies[n] = 'taken'
    elseif lives and (policy == 'skip' or policy == 'newer' and not is_newer(e, was)) then
      replies[n] = 'skipped'
    else
      replies[n], e.was = 'stored', was
      chosen[#chosen + 1] = e
      if not was then count = count + 1 end
    end
  end
  if #chosen == 0 then return replies end
  local seq, streamed = count > 0 and numbers(count) or 0, 0
  local has_kept = call('EXISTS', base .. 'fading') == 1
  for _, e in ipairs(chosen) do
    local was = e.was
    if was then
      take_away(was)
      e.seq = was.seq
    else
      if has_kept then forget_kept(e.id) end
      seq = seq + 1
      e.seq = seq
    end
    if bring(e, not was) then streamed = streamed + 1 end
    if was and was.key then offer_key(was.key, false) end
  end
  if streamed > 0 then call('HINCRBY', meta, 'ready', streamed) end
  return replies
end

return OPS[word()]()
