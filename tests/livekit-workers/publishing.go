package main

import (
	"errors"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/encoding/protojson"
)

// Frames of each second of the published video.
const frameRate = 15

// publish publishes the source until it ends or the ingress is stopped, and reports each state.
func (i *ingress) publish() {
	i.mustReport(report(`{"status": "ENDPOINT_BUFFERING"}`))
	decoder, err := startDecoder(i.mediaSource())
	if err != nil {
		i.fail(err)
		return
	}
	defer decoder.stop()
	if err := errors.Join(i.join(), i.publishTracks(decoder)); err != nil {
		i.fail(err)
		return
	}
	i.mustReport(i.publishingState())
	select {
	case <-decoder.done:
	case <-i.stopped:
	}
	i.end()
}

func (i *ingress) mediaSource() string {
	if i.info.InputType == livekit.IngressInput_URL_INPUT {
		return i.info.Url
	}
	return i.worker.rtmp + "/" + i.info.StreamKey
}

// cut ends the ingress although its source goes on: the connection of a push is closed.
func (i *ingress) cut() {
	i.end()
	if !i.script.Media || i.info.InputType == livekit.IngressInput_URL_INPUT || i.worker.rtmpControl == "" {
		return
	}
	query := url.Values{"app": {path.Base(i.worker.rtmp)}, "name": {i.info.StreamKey}}
	response, err := http.Get(i.worker.rtmpControl + "/drop/publisher?" + query.Encode())
	if err != nil {
		log.Printf("ingress %s: the push cannot be ended: nginx-rtmp does not answer", i.id)
		return
	}
	_ = response.Body.Close()
}

func (i *ingress) fail(err error) {
	log.Printf("ingress %s: %v", i.id, err)
	i.leave()
	i.mustReport(report(`{"status": "ENDPOINT_ERROR", "error": "the source cannot be published"}`))
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	go i.handler.Shutdown()
}

func (i *ingress) publishTracks(d *decoder) error {
	i.mu.Lock()
	p := i.participant
	i.mu.Unlock()
	if p == nil {
		return errors.New("not in the room")
	}
	video, err := lksdk.NewLocalReaderTrack(d.video, webrtc.MimeTypeH264,
		lksdk.ReaderTrackWithFrameDuration(time.Second/frameRate))
	if err != nil {
		return err
	}
	audio, err := lksdk.NewLocalReaderTrack(d.audio, webrtc.MimeTypeOpus)
	if err != nil {
		return err
	}
	_, err = p.LocalParticipant.PublishTrack(video, &lksdk.TrackPublicationOptions{
		Name: "video", Source: livekit.TrackSource_CAMERA, VideoWidth: 320, VideoHeight: 240,
	})
	if err != nil {
		return err
	}
	_, err = p.LocalParticipant.PublishTrack(audio, &lksdk.TrackPublicationOptions{
		Name: "audio", Source: livekit.TrackSource_MICROPHONE,
	})
	return err
}

func (i *ingress) publishingState() report {
	state := &livekit.IngressState{
		Status: livekit.IngressState_ENDPOINT_PUBLISHING,
		Video:  &livekit.InputVideoState{MimeType: "video/H264", Width: 320, Height: 240, Framerate: frameRate},
		Audio:  &livekit.InputAudioState{MimeType: "audio/AAC", Channels: 2, SampleRate: 48000},
	}
	for _, track := range i.participant.LocalParticipant.TrackPublications() {
		state.Tracks = append(state.Tracks, track.TrackInfo())
	}
	body, err := protojson.Marshal(state)
	if err != nil {
		panic(err)
	}
	return body
}

// decoder is an ffmpeg that turns a source into H.264 without B-frames and Opus, which WebRTC can carry.
type decoder struct {
	command      *exec.Cmd
	video, audio *os.File
	// done is closed at the end of the source.
	done chan struct{}
}

func startDecoder(source string) (*decoder, error) {
	videoReader, videoWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	audioReader, audioWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	d := &decoder{video: videoReader, audio: audioReader, done: make(chan struct{})}
	// One slice for each frame, because the SDK takes each NAL unit of a picture for a frame.
	d.command = exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-fflags", "nobuffer", "-i", source,
		"-map", "0:v", "-vf", "scale=320:240", "-r", "15", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
		"-x264-params", "sliced-threads=0:slices=1",
		"-profile:v", "baseline", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p", "-f", "h264", "pipe:3",
		"-map", "0:a", "-c:a", "libopus", "-ar", "48000", "-ac", "2", "-page_duration", "20000", "-f", "ogg", "pipe:4")
	d.command.ExtraFiles, d.command.Stderr = []*os.File{videoWriter, audioWriter}, os.Stderr
	err = d.command.Start()
	_, _ = videoWriter.Close(), audioWriter.Close()
	if err != nil {
		return nil, err
	}
	go func() {
		_ = d.command.Wait()
		close(d.done)
	}()
	return d, nil
}

func (d *decoder) stop() {
	_ = d.command.Process.Kill()
}
