package main

import (
	egresslib "github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/protocol/utils"
	"github.com/livekit/psrpc"
	"google.golang.org/protobuf/proto"
)

// outputs of an egress. LiveKit takes at most one file and one playlist.
type outputs struct {
	source   source
	file     *fileOutput
	segments *segmentsOutput
	urls     []string
}

type fileOutput struct {
	path    string
	storage storage
}

type segmentsOutput struct {
	*livekit.SegmentedFileOutput
	storage storage
}

// newEgressInfo returns the info of an egress that starts, with secrets left out of the request as LiveKit's egress
// does, and its outputs.
func newEgressInfo(r *rpc.StartEgressRequest) (*livekit.EgressInfo, outputs, error) {
	info := &livekit.EgressInfo{EgressId: r.EgressId, RoomId: r.RoomId, RoomName: r.RoomName}
	info.SourceType = livekit.EgressSourceType_EGRESS_SOURCE_TYPE_SDK
	var o outputs
	switch q := r.Request.(type) {
	case *rpc.StartEgressRequest_RoomComposite:
		o = encodedOutputs(q.RoomComposite)
		redacted := proto.CloneOf(q.RoomComposite)
		egresslib.RedactEncodedOutputs(redacted)
		info.RoomName, info.Request = redacted.RoomName, &livekit.EgressInfo_RoomComposite{RoomComposite: redacted}
		info.SourceType = livekit.EgressSourceType_EGRESS_SOURCE_TYPE_WEB
	case *rpc.StartEgressRequest_Web:
		o = encodedOutputs(q.Web)
		redacted := proto.CloneOf(q.Web)
		egresslib.RedactEncodedOutputs(redacted)
		info.Request = &livekit.EgressInfo_Web{Web: redacted}
		info.SourceType = livekit.EgressSourceType_EGRESS_SOURCE_TYPE_WEB
	case *rpc.StartEgressRequest_Participant:
		o = encodedOutputs(q.Participant)
		redacted := proto.CloneOf(q.Participant)
		egresslib.RedactEncodedOutputs(redacted)
		info.RoomName, info.Request = redacted.RoomName, &livekit.EgressInfo_Participant{Participant: redacted}
	case *rpc.StartEgressRequest_TrackComposite:
		o = encodedOutputs(q.TrackComposite)
		redacted := proto.CloneOf(q.TrackComposite)
		egresslib.RedactEncodedOutputs(redacted)
		info.RoomName, info.Request = redacted.RoomName, &livekit.EgressInfo_TrackComposite{TrackComposite: redacted}
	case *rpc.StartEgressRequest_Track:
		if file := q.Track.GetFile(); file != nil {
			o.file = &fileOutput{file.Filepath, storageOf(file)}
		}
		redacted := proto.CloneOf(q.Track)
		egresslib.RedactDirectOutputs(redacted)
		info.RoomName, info.Request = redacted.RoomName, &livekit.EgressInfo_Track{Track: redacted}
	case *rpc.StartEgressRequest_Egress:
		o = outputsOf(q.Egress)
		redacted := proto.CloneOf(q.Egress)
		egresslib.RedactStartEgressRequest(redacted)
		info.RoomName, info.Request = redacted.RoomName, &livekit.EgressInfo_Egress{Egress: redacted}
	default:
		return nil, o, psrpc.NewErrorf(psrpc.InvalidArgument, "%T is not supported", q)
	}
	o.source = sourceOf(r)
	if o.file == nil && o.segments == nil && len(o.urls) == 0 {
		return nil, o, psrpc.NewErrorf(psrpc.InvalidArgument, "request has no supported output")
	}
	return info, o, nil
}

func encodedOutputs(request egresslib.EncodedOutput) outputs {
	var o outputs
	for _, file := range request.GetFileOutputs() {
		o.file = &fileOutput{file.Filepath, storageOf(file)}
	}
	for _, segments := range request.GetSegmentOutputs() {
		o.segments = &segmentsOutput{segments, storageOf(segments)}
	}
	for _, stream := range request.GetStreamOutputs() {
		o.urls = append(o.urls, stream.Urls...)
	}
	return o
}

// outputsOf returns the outputs of the newer request, whose storage may be common to all of them.
func outputsOf(request *livekit.StartEgressRequest) outputs {
	var o outputs
	for _, output := range request.Outputs {
		storage := output.Storage
		if storage == nil {
			storage = request.Storage
		}
		if file := output.GetFile(); file != nil {
			o.file = &fileOutput{file.Filepath, storageOf(storage)}
		} else if segments := output.GetSegments(); segments != nil {
			o.segments = &segmentsOutput{segments, storageOf(storage)}
		} else if stream := output.GetStream(); stream != nil {
			o.urls = append(o.urls, stream.Urls...)
		}
	}
	return o
}

// redactedURL is how LiveKit names an RTMP URL in results: without most of its stream key.
func redactedURL(url string) string {
	redacted, _ := utils.RedactStreamKey(url)
	return redacted
}
