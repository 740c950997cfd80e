-- What is decided about events, whoever has them, and what goes.

function OPS.decide()
  open(word())
  local t, id, decision = terms(), word(), word()
  local message, jitter = text(), tonumber(word())
  local e = load(id)
  if not e then return 'missing' end
  if e.status == 'sent' then return decision == 'sent' and 'ok' or 'sent' end
  local was, token = e.status, e.token
  withdraw(e)
  if was == 'dead_letter' then unbury(e) end
  if decision == 'pending' then
    if was == 'dead_letter' then call('HDEL', event(id), 'retries', 'deliveries') end
    let_go(e)
  elseif decision == 'sent' then
    send(e, t.retain_sent)
  elseif decision == 'failed' then
    fail(e, message, nil, jitter, t)
  else
    bury(e, message, t.retain_dead)
  end
  if e.key then
    if decision ~= 'sent' and was == 'claimed' then hand_back_behind(e.key, e.seq, token, {}) end
    offer_key(e.key, t.skips)
  elseif e.status == 'pending' then
    offer(e)
  end
  return 'ok'
end

-- Those that were claimed then or earlier are handed back; the claim counts.
function OPS.stuck()
  open(word())
  local before, count = tonumber(word()), 0
  for _, id in ipairs(words()) do
    local e = load(id)
    if e and e.status == 'claimed' and tonumber(call('HGET', event(id), 'claimed')) <= before then
      withdraw(e)
      let_go(e)
      offer_one(e, false)
      count = count + 1
    end
  end
  return count
end

local function dead_ones(change)
  open(word())
  local count = 0
  for _, id in ipairs(words()) do
    local e = load(id)
    if e and e.status == 'dead_letter' then
      unbury(e)
      change(e)
      -- Without terms: who lets others pass dead letters finds the key among those that are held up.
      offer_one(e, false)
      count = count + 1
    end
  end
  return count
end

function OPS.requeue()
  return dead_ones(function(e)
    call('HDEL', event(e.id), 'retries', 'deliveries')
    let_go(e)
  end)
end

function OPS.discard()
  return dead_ones(remove)
end

-- Removes one that was sent and is kept, or a dead letter.
local function remove_kept(id)
  local e = load(id)
  forget_kept(id)
  if e and e.status == 'sent' then call('DEL', event(id)) end
end

local function remove_dead(id)
  local e = load(id)
  if not e or e.status ~= 'dead_letter' then
    for _, index in ipairs({'dead', 'died', 'rotting'}) do call('ZREM', base .. index, id) end
    return
  end
  unbury(e)
  remove(e)
  if e.key then offer_key(e.key, false) end
end

-- Removes what an index has up to a score.
local function remove_until(index, score, limit, change)
  local found = call('ZRANGEBYSCORE', base .. index, '-inf', int(score), 'LIMIT', 0, limit)
  for _, id in ipairs(found) do change(id) end
  return #found
end

function OPS.archive()
  open(word())
  local before, sent, dead, limit = now - tonumber(word()), word() == '1', word() == '1', tonumber(word())
  local count = sent and remove_until('sent', before, limit, remove_kept) or 0
  if dead and count < limit then count = count + remove_until('died', before, limit - count, remove_dead) end
  return count
end

function OPS.purge()
  open(word())
  local limit = tonumber(word())
  local count = remove_until('fading', now, limit, remove_kept)
  if count < limit then count = count + remove_until('rotting', now, limit - count, remove_dead) end
  return count
end
