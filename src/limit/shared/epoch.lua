-- Which life of the data this is: a new one begins where nothing is left of the one before.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', KEYS[1])
if not epoch then
  epoch = string.format('%.0f-%s', now, ARGV[1])
end
-- In any case, so that it is found out now whether anything can be written.
redis.call('SET', KEYS[1], epoch)
return { epoch, now }
