-- Draws allowance of one subject's limits, all its windows or none: books what has passed without,
-- takes back what was not used, and grants.
--
-- KEYS: one for each window, whose value is a MessagePack of three things. A base: a moment in
-- milliseconds since the epoch. The parts of the window in which anything was granted or booked, the
-- newest last, three numbers each: which part since the epoch, how much, and when the last of it
-- passes, in milliseconds since the base; they are forgotten together, a whole window after that. The
-- instances whose passes are all in here, each with when it drew.
--
-- ARGV: the instance's name, and numbers in the order in which they are read below.
local floor, max, min = math.floor, math.max, math.min

local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
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

local me = ARGV[1]
local not_after = number()
-- -1: nothing but to book; else how many wait for it.
local wanted = number() - 1
local most = number()
local spread = number()
local slack = number()
-- Nobody waits for it any more.
if not_after > 0 and now > not_after then return { 0, now } end
local returns = pairs_of_numbers()

local function read(w)
  w.base, w.parts, w.instances = now - w.length, {}, {}
  w.known, w.passed, w.newest = false, 0, 0
  local value = redis.call('GET', w.key)
  if not value then return end
  local stored = cmsgpack.unpack(value)
  w.base, w.parts = stored[1], stored[2]
  local parts, gone, passed, newest, all = w.parts, now - w.length - w.base, 0, 0, true
  for i = 1, #parts, 3 do
    local count, last = parts[i + 1], parts[i + 2]
    if last > gone and count > 0 then
      passed = passed + count
      if last > newest then newest = last end
    else
      all = false
    end
  end
  if not all then
    local kept, n = {}, 0
    for i = 1, #parts, 3 do
      if parts[i + 2] > gone and parts[i + 1] > 0 then
        kept[n + 1], kept[n + 2], kept[n + 3] = parts[i], parts[i + 1], parts[i + 2]
        n = n + 3
      end
    end
    w.parts = kept
  end
  for name, at in pairs(stored[3]) do
    if at + 2 * w.part + w.length > now then
      w.instances[name] = at
      w.known = w.known or name == me
    end
  end
  w.passed, w.newest = passed, newest
end

-- Where a part is among the others, from the newest on; 0: it is not.
local function find(w, part)
  for i = #w.parts - 2, 1, -3 do
    if w.parts[i] == part then return i end
  end
  return 0
end

local function add(w, at, last, count)
  local part = floor(at / w.part)
  local i = find(w, part)
  last = last - w.base
  w.passed = w.passed + count
  w.newest = max(w.newest, last)
  if i > 0 then
    w.parts[i + 1] = w.parts[i + 1] + count
    w.parts[i + 2] = max(w.parts[i + 2], last)
  else
    i = #w.parts
    w.parts[i + 1], w.parts[i + 2], w.parts[i + 3] = part, count, last
  end
end

local function take_back(w, granted_at, count)
  local i = find(w, floor(granted_at / w.part))
  if i == 0 then return end
  count = min(w.parts[i + 1], count)
  w.parts[i + 1] = w.parts[i + 1] - count
  w.passed = w.passed - count
end

local windows, unknown, changed = {}, { 1, now }, #returns > 0
for i, key in ipairs(KEYS) do
  local w = { key = key }
  w.length = number()
  w.part = number()
  w.max = number()
  local fresh = number() == 1
  w.books = pairs_of_numbers()
  read(w)
  unknown[i + 2] = (w.known or fresh) and 0 or 1
  changed = changed or not w.known or #w.books > 0
  windows[i] = w
end
-- What this instance has counted was lost: it is to say all of it.
for i = 3, #unknown do
  if unknown[i] == 1 then return unknown end
end

local room, shortest = math.huge, math.huge
for _, w in ipairs(windows) do
  for _, book in ipairs(w.books) do
    if book[1] < w.length then add(w, now - book[1], now - book[1], book[2]) end
  end
  for _, unused in ipairs(w.known and returns or {}) do
    take_back(w, unused[1], unused[2])
  end
  room = min(room, w.max - w.passed)
  shortest = min(shortest, w.part)
end

local granted, valid = 0, 0
if wanted >= 0 and room > 0 then
  granted = min(room, max(wanted, min(most, floor(room / spread))))
end
if granted > 0 then
  -- What nobody waits for may pass until then.
  valid = granted > wanted and shortest or slack
  for _, w in ipairs(windows) do
    add(w, now, now + valid, granted)
  end
  changed = true
end

-- Until so many have left that one more passes.
local function frees_in(w)
  local order, parts, over, wait = {}, w.parts, w.passed + 1 - w.max, 0
  for i = 1, #parts, 3 do
    if parts[i + 1] > 0 then order[#order + 1] = i end
  end
  table.sort(order, function(a, b) return parts[a + 2] < parts[b + 2] end)
  for _, i in ipairs(order) do
    wait = w.base + parts[i + 2] + w.length - now
    over = over - parts[i + 1]
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
  answer[#answer + 1] = max(w.max - w.passed, 0)
  answer[#answer + 1] = max(w.base + w.newest + w.length - now, 0)
end
answer[5], answer[6] = refused, retry

if changed then
  for _, w in ipairs(windows) do
    w.instances[me] = now
    local value = cmsgpack.pack({ w.base, w.parts, w.instances })
    redis.call('SET', w.key, value, 'PX', w.length + 3 * w.part)
  end
end
return answer
