-- What all scripts of the outbox know. Arguments are words, read one after the other with word(). All keys begin with
-- `base`; what stands under them is told in keys.rs.
local OPS = {}
local call = redis.call
local GROUP, WORKER = 'workers', 'all'
-- Fields of an event, in the order in which they are read.
local FIELDS = {'status', 'seq', 'key', 'due', 'lease', 'token', 'deliveries', 'kind', 'made', 'saga', 'retries', 'error',
  'body', 'claimed', 'worker', 'sent', 'dead', 'expires'}

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local base, all, ready, again, delayed, leases, meta
local function open(at)
  base = at
  all, ready, again, delayed = at .. 'all', at .. 'ready', at .. 'again', at .. 'later'
  leases, meta = at .. 'leases', at .. 'meta'
end

-- A word that may be empty: then it is none.
local function number() local w = word() if w ~= '' then return tonumber(w) end end
local function text() local w = word() if w ~= '' then return w end end
local function words() local list = {} for n = 1, tonumber(word()) do list[n] = word() end return list end
local function int(value) return string.format('%.0f', value) end

local function event(id) return base .. 'e:' .. id end
local function of_key(key) return base .. 'k:' .. key end
local function of_saga(saga) return base .. 's:' .. saga end

-- What is read of an event where it is changed, by names; nil if it is not there.
local function load(id)
  local v = call('HMGET', event(id), 'status', 'seq', 'key', 'due', 'lease', 'token', 'deliveries', 'retries', 'saga')
  if not v[1] then return nil end
  return {id = id, status = v[1], seq = tonumber(v[2]), key = v[3], due = tonumber(v[4] or nil),
    lease = tonumber(v[5] or nil), token = v[6], deliveries = tonumber(v[7] or 0), retries = tonumber(v[8] or 0),
    saga = v[9]}
end

local function is_free(e)
  if e.status == 'pending' then return not e.due or e.due <= now end
  return e.status == 'claimed' and (not e.lease or e.lease <= now)
end

-- The first event of a key that is not sent, or does not let those behind it pass; nil if there is none.
local function head(key, skips)
  local from = 0
  while true do
    local ids = call('ZRANGE', of_key(key), from, from + (skips and 31 or 0))
    if #ids == 0 then return nil end
    for _, id in ipairs(ids) do
      local e = load(id)
      if not e or e.status == 'sent' then
        call('ZREM', of_key(key), id)
      elseif e.status == 'dead_letter' and skips then
        from = from + 1
      else
        return e
      end
    end
  end
end

-- Has an event, which is not behind another one of its key, claimed when its time has come.
local function offer(e)
  if not is_free(e) then return end
  if e.status == 'claimed' then call('ZADD', leases, 'XX', '+inf', e.id) end
  local seq = int(e.seq)
  if #call('XRANGE', ready, seq, seq) == 0 then call('ZADD', again, seq, e.id) end
end

-- The same with the first event of a key.
local function offer_key(key, skips)
  local e = head(key, skips)
  if e and e.status ~= 'dead_letter' then return offer(e) end
  -- Held up by a dead letter: who lets others pass it finds the key here.
  if e then call('SADD', base .. 'held', key) else call('SREM', base .. 'held', key) end
end

local function offer_one(e, skips)
  if e.key then offer_key(e.key, skips) else offer(e) end
end

-- Takes an event from wherever it waits.
local function withdraw(e)
  call('ZREM', again, e.id)
  call('ZREM', delayed, e.id)
  call('ZREM', leases, e.id)
  if call('XDEL', ready, int(e.seq) .. '-0') == 1 then call('HINCRBY', meta, 'ready', -1) end
end

-- Makes an event pending that waits nowhere. offer_one() is still to be called.
local function let_go(e, due)
  local key = event(e.id)
  call('HDEL', key, 'claimed', 'worker', 'token', 'lease', 'due', 'dead', 'expires')
  if due then
    call('HSET', key, 'status', 'pending', 'due', int(due))
    if due > now then call('ZADD', delayed, int(due), e.id) end
  else
    call('HSET', key, 'status', 'pending')
  end
  e.status, e.due, e.lease, e.token = 'pending', due, nil, false
end

-- Makes an event a dead letter that waits nowhere.
local function bury(e, message, retain)
  local key = event(e.id)
  call('HDEL', key, 'claimed', 'worker', 'token', 'lease', 'due', 'expires')
  call('HSET', key, 'status', 'dead_letter', 'dead', int(now))
  if message then call('HSET', key, 'error', message) end
  call('ZADD', base .. 'dead', int(e.seq), e.id)
  call('ZADD', base .. 'died', int(now), e.id)
  if retain then
    call('HSET', key, 'expires', int(now + retain))
    call('ZADD', base .. 'rotting', int(now + retain), e.id)
  end
  if e.key then
    call('HINCRBY', base .. 'deads', e.key, 1)
    call('ZADD', base .. 'blocked', 0, e.key)
  end
  e.status, e.due, e.lease, e.token = 'dead_letter', nil, nil, false
end

-- A dead letter is none any more.
local function unbury(e)
  for _, index in ipairs({'dead', 'died', 'rotting'}) do call('ZREM', base .. index, e.id) end
  if e.key and call('HINCRBY', base .. 'deads', e.key, -1) <= 0 then
    call('HDEL', base .. 'deads', e.key)
    call('ZREM', base .. 'blocked', e.key)
  end
end

-- What is kept of an event that has been sent goes, but for the event itself.
local function forget_kept(id)
  for _, index in ipairs({'kept', 'sent', 'fading'}) do call('ZREM', base .. index, id) end
  local saga = call('HGET', base .. 'sagas', id)
  if saga then
    call('ZREM', of_saga(saga), id)
    call('HDEL', base .. 'sagas', id)
  end
end

-- Removes an event that is not sent and waits nowhere.
local function remove(e)
  call('ZREM', all, e.id)
  if e.key then call('ZREM', of_key(e.key), e.id) end
  if e.saga then call('ZREM', of_saga(e.saga), e.id) end
  call('DEL', event(e.id))
end

-- An event that waits nowhere is sent.
local function send(e, retain)
  if retain == 0 then return remove(e) end
  local key, till = event(e.id), int(now + retain)
  call('HDEL', key, 'claimed', 'worker', 'token', 'lease', 'due', 'dead')
  call('HSET', key, 'status', 'sent', 'sent', int(now), 'expires', till)
  call('PEXPIRE', key, int(retain))
  call('ZREM', all, e.id)
  if e.key then call('ZREM', of_key(e.key), e.id) end
  if e.saga then call('HSET', base .. 'sagas', e.id, e.saga) end
  call('ZADD', base .. 'kept', int(e.seq), e.id)
  call('ZADD', base .. 'sent', int(now), e.id)
  call('ZADD', base .. 'fading', till, e.id)
  e.status = 'sent'
end

local function backoff(failures, ms, jitter)
  if failures < 1 then return 0 end
  return math.floor(math.min(ms * 2 ^ math.min(failures - 1, 40), math.max(300000, ms)) * jitter)
end

-- What the store's options say.
local function terms()
  return {retries = tonumber(word()), deliveries = tonumber(word()), pause = tonumber(word()), skips = word() == '1',
    retain_sent = tonumber(word()), retain_dead = number()}
end

-- An event that waits nowhere has failed.
local function fail(e, message, retry_at, jitter, t)
  local retries = e.retries + 1
  call('HSET', event(e.id), 'retries', retries)
  if retries > t.retries then return bury(e, message, t.retain_dead) end
  call('HSET', event(e.id), 'error', message)
  let_go(e, retry_at or now + backoff(retries, t.pause, jitter))
end

-- An event that waits nowhere is handed back: its delivery does not count.
local function hand_back(e)
  if e.deliveries > 0 then call('HSET', event(e.id), 'deliveries', e.deliveries - 1) end
  let_go(e)
end

-- Hands back what the same claim has of a key behind an event; notes the ids with the token.
local function hand_back_behind(key, seq, token, handed)
  local after = '(' .. int(seq)
  while true do
    local found = call('ZRANGEBYSCORE', of_key(key), after, '+inf', 'WITHSCORES', 'LIMIT', 0, 100)
    for n = 1, #found, 2 do
      local e = load(found[n])
      if e and e.status == 'claimed' and e.token == token then
        withdraw(e)
        hand_back(e)
        handed[e.id] = token
      end
    end
    if #found < 200 then return end
    after = '(' .. found[#found]
  end
end
