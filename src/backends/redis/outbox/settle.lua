-- What becomes of claimed events.

local function held()
  local list = {}
  for n = 1, tonumber(word()) do list[n] = {id = word(), token = word()} end
  return list
end

function OPS.ack()
  open(word())
  local t, lost, sent, keys = terms(), {}, {}, {}
  for _, h in ipairs(held()) do
    local v = call('HMGET', event(h.id), 'status', 'token', 'key', 'saga', 'seq')
    if v[1] ~= 'claimed' or v[2] ~= h.token then
      lost[#lost + 1] = h.id
    else
      if v[3] then
        keys[v[3]] = true
        call('ZREM', of_key(v[3]), h.id)
      end
      if t.retain_sent > 0 then
        send({id = h.id, key = v[3], saga = v[4], seq = tonumber(v[5])}, t.retain_sent)
      elseif v[4] then
        call('ZREM', of_saga(v[4]), h.id)
      end
      sent[#sent + 1] = h.id
    end
  end
  if #sent > 0 then
    call('ZREM', leases, unpack(sent))
    if call('EXISTS', again) == 1 then call('ZREM', again, unpack(sent)) end
    if t.retain_sent == 0 then
      call('ZREM', all, unpack(sent))
      for n, id in ipairs(sent) do sent[n] = event(id) end
      call('UNLINK', unpack(sent))
    end
  end
  for key in pairs(keys) do offer_key(key, t.skips) end
  return lost
end

-- Failures and what is handed back: in their order, because one takes those behind it along.
local function settle(fails)
  open(word())
  local t = terms()
  local message, retry_at, jitter
  if fails then message, retry_at, jitter = word(), number(), tonumber(word()) end
  local list, lost, handed, keys = held(), {}, {}, {}
  for _, h in ipairs(list) do
    local e = load(h.id)
    h.seq, h.key = e and e.seq or 0, e and e.key
  end
  table.sort(list, function(x, y) return x.seq < y.seq end)
  for _, h in ipairs(list) do
    local e = (fails or handed[h.id] ~= h.token) and load(h.id)
    if e and e.status == 'claimed' and e.token == h.token then
      withdraw(e)
      if fails then fail(e, message, retry_at, jitter, t) else hand_back(e) end
      if e.key then
        hand_back_behind(e.key, e.seq, h.token, handed)
        keys[e.key] = true
      elseif e.status == 'pending' then
        offer(e)
      end
    elseif fails or handed[h.id] ~= h.token then
      lost[#lost + 1] = h.id
    end
  end
  for key in pairs(keys) do offer_key(key, t.skips) end
  return lost
end

function OPS.fail() return settle(true) end

function OPS.release() return settle(false) end

function OPS.extend()
  open(word())
  local lease_ms, lost = tonumber(word()), {}
  for _, h in ipairs(held()) do
    local v = call('HMGET', event(h.id), 'status', 'token')
    if v[1] ~= 'claimed' or v[2] ~= h.token then
      lost[#lost + 1] = h.id
    else
      local till = int(now + lease_ms)
      call('HSET', event(h.id), 'lease', till)
      call('ZADD', leases, till, h.id)
      call('ZREM', again, h.id)
    end
  end
  return lost
end
