-- Prolongs the operation lock of the instance that creates or stops the stream.
-- ARGV  1 the end of the lock as its holder knows it
if not holds_lock(arg(1)) then return unchanged() end
s.claimedUntil = integer(now + CLAIM_MS)
return changed()
