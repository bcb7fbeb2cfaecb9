-- Renews the operation lock of the instance that creates or stops the stream.
if not holds_lock(ARG.known_end) then return unchanged() end
lock()
return changed()
