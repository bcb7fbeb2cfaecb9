package main

import (
	"time"

	"github.com/livekit/protocol/livekit"
)

func isTerminal(status livekit.EgressStatus) bool {
	return status >= livekit.EgressStatus_EGRESS_COMPLETE
}

// complete sets what a report leaves out: times, and results that follow from the outputs.
func (o outputs) complete(info *livekit.EgressInfo, named map[string]bool) {
	now := time.Now().UnixNano()
	if !named["updatedAt"] {
		info.UpdatedAt = now
	}
	if info.Status == livekit.EgressStatus_EGRESS_ACTIVE && !named["startedAt"] && info.StartedAt == 0 {
		info.StartedAt = now
	}
	if !named["endedAt"] {
		info.EndedAt = 0
		if isTerminal(info.Status) {
			info.EndedAt = now
		}
	}
	if !named["streamResults"] {
		o.completeStreams(info, now)
	}
	succeeded := info.Status == livekit.EgressStatus_EGRESS_COMPLETE ||
		info.Status == livekit.EgressStatus_EGRESS_LIMIT_REACHED
	if succeeded && !named["fileResults"] && o.file != nil {
		info.FileResults = []*livekit.FileInfo{{Filename: o.file.path, Location: o.file.storage.location(o.file.path), Size: 1,
			StartedAt: info.StartedAt, EndedAt: info.EndedAt, Duration: info.EndedAt - info.StartedAt}}
	}
	if succeeded && !named["segmentResults"] && o.segments != nil {
		info.SegmentResults = []*livekit.SegmentsInfo{{PlaylistName: o.segments.PlaylistName,
			PlaylistLocation: o.segments.storage.location(o.segments.PlaylistName), SegmentCount: 1, Size: 1,
			StartedAt: info.StartedAt, EndedAt: info.EndedAt, Duration: info.EndedAt - info.StartedAt}}
	}
}

// completeStreams adds the RTMP outputs at the start, and ends those that run at the end.
func (o outputs) completeStreams(info *livekit.EgressInfo, now int64) {
	if info.Status == livekit.EgressStatus_EGRESS_ACTIVE && len(info.StreamResults) == 0 {
		for _, url := range o.urls {
			info.StreamResults = append(info.StreamResults, newStream(url, now))
		}
	}
	for _, stream := range info.StreamResults {
		if isTerminal(info.Status) && stream.Status == livekit.StreamInfo_ACTIVE {
			finish(stream, now)
		}
	}
}

func newStream(url string, now int64) *livekit.StreamInfo {
	return &livekit.StreamInfo{Url: redactedURL(url), StartedAt: now, Status: livekit.StreamInfo_ACTIVE}
}

func finish(stream *livekit.StreamInfo, now int64) {
	stream.Status, stream.EndedAt = livekit.StreamInfo_FINISHED, now
	stream.Duration = now - stream.StartedAt
}
