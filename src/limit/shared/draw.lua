-- Draws allowance of one subject's limits, all its windows or none: books what has passed without,
-- takes back what was not used, and grants.
--
-- KEYS: a hash for each window. Field `N`: the Nth part of the window's length since the epoch; its
-- value is how many passes were granted or booked in it, times 2^22, plus how many milliseconds
-- after the part's beginning the last of them passes. They are forgotten together, a whole window
-- after that. Field `iNAME`: an instance whose passes are all in here; its value is when it drew.
--
-- ARGV: the instance's name, and numbers in the order in which they are read below.
local SHIFT = 4194304

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local place = 1
local function number()
  place = place + 1
  return tonumber(ARGV[place])
end
local function pairs_of_numbers()
  local list = {}
  for i = 1, number() do
    local first = number()
    list[i] = { first, number() }
  end
  return list
end

local me = 'i' .. ARGV[1]
local not_after = number()
-- -1: nothing but to book; else how many wait for it.
local wanted = number() - 1
local most = number()
local spread = number()
local slack = number()
-- Nobody waits for it any more.
if not_after > 0 and now > not_after then return { 0, now } end
local returns = pairs_of_numbers()

local function add(w, part, last, count)
  w.count[part] = (w.count[part] or 0) + count
  w.last[part] = math.max(w.last[part] or 0, last)
  w.newest = math.max(w.newest, last)
  w.passed = w.passed + count
  w.changed[part] = true
end

local function read(w)
  local fields = redis.call('HGETALL', w.key)
  for i = 1, #fields, 2 do
    local name, value = fields[i], tonumber(fields[i + 1])
    local part = tonumber(name)
    local last = part and part * w.part + value % SHIFT or value + 2 * w.part
    if last + w.length <= now then
      w.gone[#w.gone + 1] = name
    elseif not part then
      w.known = w.known or name == me
    else
      add(w, part, last, (value - value % SHIFT) / SHIFT)
    end
  end
  w.changed = {}
end

local windows, unknown, changed = {}, { 1, now }, false
for i, key in ipairs(KEYS) do
  local w = { key = key, count = {}, last = {}, changed = {}, gone = {}, passed = 0, newest = 0 }
  w.length = number()
  w.part = number()
  w.max = number()
  local fresh = number() == 1
  w.books = pairs_of_numbers()
  read(w)
  unknown[i + 2] = (w.known or fresh) and 0 or 1
  changed = changed or not w.known
  windows[i] = w
end
-- What this instance has counted was lost: it is to say all of it.
for i = 3, #unknown do
  if unknown[i] == 1 then return unknown end
end

for _, w in ipairs(windows) do
  for _, book in ipairs(w.books) do
    local at = now - book[1]
    if at + w.length > now then
      add(w, math.floor(at / w.part), at, book[2])
      changed = true
    end
  end
  for _, unused in ipairs(w.known and returns or {}) do
    local part = math.floor(unused[1] / w.part)
    local count = math.min(w.count[part] or 0, unused[2])
    if count > 0 then
      add(w, part, 0, -count)
      changed = true
    end
  end
end

local room, shortest = math.huge, math.huge
for _, w in ipairs(windows) do
  room = math.min(room, w.max - w.passed)
  shortest = math.min(shortest, w.part)
end
local granted, valid = 0, 0
if wanted >= 0 and room > 0 then
  granted = math.min(room, math.max(wanted, math.min(most, math.floor(room / spread))))
end
if granted > 0 then
  -- What nobody waits for may pass until then.
  valid = granted > wanted and shortest or slack
  for _, w in ipairs(windows) do
    add(w, math.floor(now / w.part), now + valid, granted)
  end
  changed = true
end

-- Until the last of those that are in the way has left.
local function frees_in(w)
  local parts, over, wait = {}, w.passed + 1 - w.max, 0
  for part, count in pairs(w.count) do
    if count > 0 then parts[#parts + 1] = part end
  end
  table.sort(parts, function(a, b) return w.last[a] < w.last[b] end)
  for _, part in ipairs(parts) do
    wait = w.last[part] + w.length - now
    over = over - w.count[part]
    if over <= 0 then break end
  end
  return wait
end

local refused, retry = 0, 0
local answer = { 2, now, granted, valid, 0, 0 }
for i, w in ipairs(windows) do
  if w.passed >= w.max then
    local wait = frees_in(w)
    if wait > retry then refused, retry = i, wait end
  end
  answer[#answer + 1] = math.max(w.max - w.passed, 0)
  answer[#answer + 1] = math.max(w.newest + w.length - now, 0)
end
answer[5], answer[6] = refused, retry

if not changed then return answer end
for _, w in ipairs(windows) do
  local set = { me, now }
  for part in pairs(w.changed) do
    if w.count[part] > 0 then
      set[#set + 1] = part
      set[#set + 1] = w.count[part] * SHIFT + math.min(w.last[part] - part * w.part, SHIFT - 1)
    else
      w.gone[#w.gone + 1] = part
    end
  end
  redis.call('HSET', w.key, unpack(set))
  if #w.gone > 0 then redis.call('HDEL', w.key, unpack(w.gone)) end
  redis.call('PEXPIRE', w.key, w.length + 3 * w.part)
end
return answer
