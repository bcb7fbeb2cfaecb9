-- Renews a lease.
-- Answer 1 if the caller still has it
return redis.call('GET', KEY.lease) == ARG.token and redis.call('PEXPIRE', KEY.lease, ARG.ttl_ms) or 0
