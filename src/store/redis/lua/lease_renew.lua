-- Whoever has the lease keeps it.
-- KEYS  1 lease
-- ARGV  1 the caller's token, 2 milliseconds that it lasts from now
-- Answer 1 if the caller still has it
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0
