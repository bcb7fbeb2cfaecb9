-- Takes the operation lock of a stream that is being created or stopped, if no other instance holds it.
local is_held = stream.lockedUntil ~= '' and tonumber(stream.lockedUntil) > now
if not is_under_way() or is_held then return unchanged() end
lock()
return changed()
