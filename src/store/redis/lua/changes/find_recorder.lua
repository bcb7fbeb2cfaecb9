-- Records that the recorder of an egress is in the room.
local record = egress_of(ARG.egress_id)
if not record or not record.recorderMissingSince then return unchanged() end
record.recorderMissingSince = nil
store_egress(record)
return changed_egress()
