package main

import (
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/h264writer"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

// source selects the tracks that an egress records: at most one of video and one of audio.
type source struct {
	// identity and tracks are empty for any.
	identity  string
	tracks    []string
	audioOnly bool
}

func sourceOf(r *rpc.StartEgressRequest) source {
	switch q := r.Request.(type) {
	case *rpc.StartEgressRequest_RoomComposite:
		// A template in Chrome would show all participants. The stand-in takes the first one.
		return source{audioOnly: q.RoomComposite.AudioOnly}
	case *rpc.StartEgressRequest_Participant:
		return source{identity: q.Participant.Identity}
	case *rpc.StartEgressRequest_TrackComposite:
		return source{tracks: []string{q.TrackComposite.AudioTrackId, q.TrackComposite.VideoTrackId}}
	case *rpc.StartEgressRequest_Track:
		return source{tracks: []string{q.Track.TrackId}}
	case *rpc.StartEgressRequest_Egress:
		media := q.Egress.GetMedia()
		return source{identity: media.GetParticipantVideo().GetIdentity()}
	}
	return source{}
}

func (s source) selects(track *lksdk.RemoteTrackPublication, publisher *lksdk.RemoteParticipant) bool {
	if s.audioOnly && track.Kind() != lksdk.TrackKindAudio {
		return false
	}
	if s.identity != "" && s.identity != publisher.Identity() {
		return false
	}
	for _, sid := range s.tracks {
		if sid == track.SID() {
			return true
		}
	}
	return len(s.tracks) == 0
}

// receivedTrack is a subscribed track.
type receivedTrack struct {
	*webrtc.TrackRemote
	publisher *lksdk.RemoteParticipant
	stopped   *atomic.Bool
}

func (t receivedTrack) isVideo() bool {
	return t.Kind() == webrtc.RTPCodecTypeVideo
}

// input receives the selected tracks of a room.
type input struct {
	source  source
	tracks  chan receivedTrack
	stopped atomic.Bool
}

func newInput(s source) *input {
	return &input{source: s, tracks: make(chan receivedTrack, 16)}
}

// callback subscribes to selected tracks that are published later.
func (i *input) callback() *lksdk.RoomCallback {
	callback := lksdk.NewRoomCallback()
	callback.OnTrackPublished = i.subscribe
	callback.OnTrackSubscribed = func(
		track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, publisher *lksdk.RemoteParticipant,
	) {
		select {
		case i.tracks <- receivedTrack{track, publisher, &i.stopped}:
		default:
		}
	}
	return callback
}

func (i *input) subscribe(track *lksdk.RemoteTrackPublication, publisher *lksdk.RemoteParticipant) {
	if publisher.Kind() != lksdk.ParticipantKind(livekit.ParticipantInfo_EGRESS) && i.source.selects(track, publisher) {
		_ = track.SetSubscribed(true)
	}
}

// subscribeToPresent subscribes to selected tracks that were there before.
func (i *input) subscribeToPresent(room *lksdk.Room) {
	for _, publisher := range room.GetRemoteParticipants() {
		for _, track := range publisher.TrackPublications() {
			if remote, ok := track.(*lksdk.RemoteTrackPublication); ok {
				i.subscribe(remote, publisher)
			}
		}
	}
}

// await returns one track of each kind. It waits 15 s for the first one, as LiveKit does for its start signal, and then
// two seconds for the other kind, which may have been published only just.
func (i *input) await(stop <-chan struct{}) (video, audio *receivedTrack) {
	limit := time.After(15 * time.Second)
	for video == nil || audio == nil {
		select {
		case track := <-i.tracks:
			if track.isVideo() && video == nil {
				video = &track
			} else if !track.isVideo() && audio == nil {
				audio = &track
			}
			limit = time.After(2 * time.Second)
		case <-limit:
			return video, audio
		case <-stop:
			return nil, nil
		}
	}
	return video, audio
}

// container of the track's codec for ffmpeg.
func (t receivedTrack) container() string {
	switch strings.ToLower(t.Codec().MimeType) {
	case strings.ToLower(webrtc.MimeTypeH264):
		return "h264"
	case strings.ToLower(webrtc.MimeTypeOpus):
		return "ogg"
	}
	return "ivf"
}

type rtpWriter interface {
	WriteRTP(packet *rtp.Packet) error
}

func (t receivedTrack) writer(to io.Writer) (rtpWriter, error) {
	switch t.container() {
	case "h264":
		return h264writer.NewWith(to), nil
	case "ogg":
		return oggwriter.NewWith(to, 48000, 2)
	}
	return ivfwriter.NewWith(to, ivfwriter.WithCodec(t.Codec().MimeType))
}

// copyTo writes the track to a pipe, which it closes at the end of the track or after stop.
func (t receivedTrack) copyTo(pipe io.WriteCloser) {
	defer pipe.Close()
	writer, err := t.writer(pipe)
	if err != nil {
		return
	}
	if t.isVideo() {
		t.publisher.WritePLI(t.SSRC())
	}
	for !t.stopped.Load() {
		_ = t.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		packet, _, err := t.ReadRTP()
		if isTimeout(err) {
			continue
		}
		if err != nil || writer.WriteRTP(packet) != nil {
			return
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout()
}
