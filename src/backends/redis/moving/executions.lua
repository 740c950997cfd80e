-- An execution is stored as a whole: 'stored', 'skipped', 'taken', or 'corrupt' (what is there cannot be compared).
function OPS.bring()
  local base, id, policy = word(), word(), word()
  local fields, others, list = words(), words(), entries()

  local r = {}
  for n = 1, #fields, 2 do r[fields[n]] = fields[n + 1] end
  for n = TEXTS + 1, #FIELDS do r[FIELDS[n]] = tonumber(r[FIELDS[n]]) end
  local was, unreadable = load(base, id)
  if was or unreadable then
    if policy == 'skip' then return 'skipped' elseif policy == 'refuse' then return 'taken' end
    if policy == 'newer' then
      if unreadable then return 'corrupt' end
      local is_newer = r.version > was.version
      if r.version == was.version then is_newer = r.updatedAt > was.updatedAt end
      if r.version == was.version and r.updatedAt == was.updatedAt then is_newer = r.entries > was.entries end
      if not is_newer then return 'skipped' end
    end
    remove(base, id, was)
  else
    forget(base, id)
  end
  append(base, id, 0, list)
  save(base, id, {}, r, others, {})
  return 'stored'
end

return OPS[word()]()
