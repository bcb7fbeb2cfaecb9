-- Releases the operation lock: its holder could not finish. It is tried again after a while.
-- ARGV  1 the end of the lock as its holder knows it
if not holds_lock(arg(1)) then return unchanged() end
s.claimedUntil = ''
return changed()
