-- Events are stored.

local function insertion()
  local list = {}
  for n = 1, tonumber(word()) do
    list[n] = {at = n, id = word(), kind = word(), key = text(), saga = text(), available = number(), body = word()}
  end
  return list
end

-- Those that are not there yet; or nothing, and an id that is taken.
local function judge(list, operation, ignores)
  local fresh = {}
  for _, e in ipairs(list) do
    local made = call('HGET', event(e.id), 'made')
    if not made then
      fresh[#fresh + 1] = e
    elseif not ignores and string.match(made, ' (.*)$') ~= operation then
      return nil, e.id
    end
  end
  return fresh
end

-- The numbers of so many new events begin behind this one.
local function numbers(count)
  local last = call('HINCRBY', meta, 'seq', count)
  if last == count then
    -- The first ones of all, or the counter was lost.
    local most = 0
    for _, index in ipairs({all, base .. 'kept'}) do
      local found = call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
      most = math.max(most, tonumber(found[2] or 0))
    end
    if call('EXISTS', ready) == 1 then
      local told = call('XINFO', 'STREAM', ready)
      for n = 1, #told, 2 do
        if told[n] == 'last-generated-id' then most = math.max(most, tonumber(string.match(told[n + 1], '^%d+'))) end
      end
    end
    if most > 0 then last = call('HINCRBY', meta, 'seq', int(most)) end
  end
  return last - count
end

-- Stores them. With a lease: answers the places and the numbers of those that it has.
local function store(fresh, operation, skips, lease)
  local born = {}
  if #fresh == 0 then return born end
  local seq, made = numbers(#fresh), int(now) .. ' ' .. operation
  local has_kept = call('EXISTS', base .. 'fading') == 1
  local members, mine, streamed = {}, {}, 0
  for _, e in ipairs(fresh) do
    seq = seq + 1
    local place = int(seq)
    if has_kept then forget_kept(e.id) end
    members[#members + 1] = place
    members[#members + 1] = e.id
    local fields = {'body', e.body, 'kind', e.kind, 'made', made, 'seq', place}
    local function field(name, value)
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
    local is_first = true
    if e.key then
      field('key', e.key)
      local before = call('ZCARD', of_key(e.key))
      local pass = before > 0 and skips and tonumber(call('HGET', base .. 'deads', e.key) or 0) or 0
      is_first = before == pass
      call('ZADD', of_key(e.key), place, e.id)
    end
    if e.saga then
      field('saga', e.saga)
      call('ZADD', of_saga(e.saga), place, e.id)
    end
    local waits = e.available and e.available > now
    local is_born = lease and not waits and (is_first or mine[e.key])
    if e.key then mine[e.key] = is_born end
    if is_born then
      local till = int(now + lease.ms)
      field('status', 'claimed')
      field('claimed', int(now))
      field('worker', lease.worker)
      field('token', lease.token)
      field('lease', till)
      field('deliveries', 1)
      call('ZADD', leases, till, e.id)
      born[#born + 1] = {e.at, place}
    else
      field('status', 'pending')
      if waits then
        field('due', int(e.available))
        call('ZADD', delayed, int(e.available), e.id)
      elseif is_first then
        -- A stream that somebody has written to may be ahead.
        local added = redis.pcall('XADD', ready, place .. '-0', 'id', e.id)
        if type(added) == 'table' and added.err then
          call('ZADD', again, place, e.id)
        else
          streamed = streamed + 1
        end
      end
    end
    call('HSET', event(e.id), unpack(fields))
  end
  call('ZADD', all, unpack(members))
  if streamed > 0 then call('HINCRBY', meta, 'ready', streamed) end
  return born
end

function OPS.insert()
  open(word())
  local operation, ignores, skips, list = word(), word() == '1', word() == '1', insertion()
  local lease
  if word() == '1' then lease = {token = word(), worker = word(), ms = tonumber(word())} end
  local fresh, taken = judge(list, operation, ignores)
  if not fresh then return {'taken', taken} end
  return {'ok', now, store(fresh, operation, skips, lease)}
end

-- The first of some ids that is taken by another operation.
function OPS.taken()
  open(word())
  local operation, list = word(), {}
  for n, id in ipairs(words()) do list[n] = {id = id} end
  local fresh, taken = judge(list, operation, false)
  return taken
end
