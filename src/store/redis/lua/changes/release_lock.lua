-- Releases the operation lock, because its holder could not finish. The sweeper continues the operation later.
if not holds_lock(ARG.known_end) then return unchanged() end
stream.lockedUntil = ''
return changed()
